"""Other names of COCO's 80 categories, so that a right answer in other words counts. Plurals are understood without a list.

names_of("couch")         the category and its other names: couch, sofa
longer_names("dog")       names of other categories with one of these in them: a hot dog is no dog
"""

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "person": ("man", "woman", "boy", "girl", "child", "kid", "baby", "guy", "lady", "player", "skier", "surfer", "people"),
    "bicycle": ("bike", "cycle"),
    "motorcycle": ("motorbike", "motor bike", "scooter"),
    "car": ("automobile", "sedan", "suv", "taxi", "cab"),
    "airplane": ("plane", "aeroplane", "aircraft", "jet"),
    "train": ("locomotive", "tram"),
    "truck": ("lorry", "pickup"),
    "boat": ("ship", "sailboat", "canoe", "kayak", "ferry"),
    "traffic light": ("stoplight", "traffic signal"),
    "fire hydrant": ("hydrant",),
    "bird": ("duck", "goose", "seagull", "gull", "pigeon", "parrot"),
    "cat": ("kitten",),
    "dog": ("puppy",),
    "horse": ("pony",),
    "sheep": ("lamb",),
    "cow": ("bull", "calf", "cattle", "ox"),
    "bear": ("polar bear", "grizzly"),
    "backpack": ("rucksack", "knapsack"),
    "handbag": ("purse", "hand bag"),
    "tie": ("necktie", "bow tie"),
    "suitcase": ("luggage", "baggage"),
    "frisbee": ("flying disc", "flying disk"),
    "skis": ("ski",),
    "sports ball": ("ball", "baseball", "soccer ball", "tennis ball", "football", "basketball"),
    "baseball bat": ("bat",),
    "baseball glove": ("glove", "mitt"),
    "skateboard": ("skate board",),
    "surfboard": ("surf board",),
    "tennis racket": ("racket", "racquet", "tennis racquet"),
    "wine glass": ("wineglass", "goblet"),
    "cup": ("mug", "glass"),
    "knife": ("blade",),
    "donut": ("doughnut",),
    "hot dog": ("hotdog",),
    "couch": ("sofa",),
    "potted plant": ("houseplant", "plant"),
    "dining table": ("table", "desk"),
    "toilet": ("lavatory",),
    "tv": ("television", "monitor", "screen", "television set"),
    "laptop": ("laptop computer", "notebook computer"),
    "mouse": ("computer mouse",),
    "remote": ("remote control", "controller"),
    "cell phone": ("phone", "cellphone", "mobile phone", "smartphone", "mobile"),
    "microwave": ("microwave oven",),
    "oven": ("stove", "cooker"),
    "refrigerator": ("fridge",),
    "vase": ("flower pot",),
    "teddy bear": ("teddy", "stuffed animal", "stuffed bear"),
    "hair drier": ("hair dryer", "hairdryer", "blow dryer"),
}


def names_of(category: str) -> tuple[str, ...]:
    """A category's own name, then its other names."""
    return category, *OTHER_NAMES.get(category, ())


def longer_names(category: str) -> list[str]:
    """Names of other categories that have a name of this one among their words."""
    others = (name for other in OTHER_NAMES if other != category for name in names_of(other))
    return [other for other in others if any(f" {name} " in f" {other} " for name in names_of(category))]
