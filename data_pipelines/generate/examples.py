"""Two examples of each kind, shown to the model before it is asked. All invented by us: no picture or data set lies behind "
"them."""

from dataclasses import dataclass

from data_pipelines.generate.facts import Facts, Relation, Thing
from triscope.data.boxes import Box

KITCHEN = Facts(
    captions=(
        "A man in an apron is rolling out dough on a wooden table.",
        "Someone bakes at home while a cat watches from a chair.",
        "A kitchen with a table full of flour, a rolling pin and jars.",
    ),
    things=(
        Thing(Box(0.310, 0.080, 0.620, 0.830), ("man",), ("bearded", "smiling"), ("a man wearing a striped apron",)),
        Thing(Box(0.280, 0.640, 0.700, 0.720), ("rolling pin",), ("wooden",)),
        Thing(Box(0.030, 0.560, 0.180, 0.900), ("cat",), ("grey",), ("a cat sitting upright on a chair",)),
        Thing(Box(0.020, 0.700, 0.210, 0.990), ("chair",), ("white",)),
        Thing(Box(0.760, 0.590, 0.800, 0.700), ("jar",), ("made of glass", "open"), ("a jar with a spoon in it",)),
        Thing(Box(0.840, 0.130, 0.910, 0.230), ("clock",), ("round",)),
    ),
    relations=(Relation(0, "holding", 1), Relation(2, "sitting on", 3), Relation(2, "watching", 0)),
)
HARBOUR = Facts(
    captions=(
        "Three fishing boats are tied up in a small harbour at low tide.",
        "Boats lie at a stone wall while gulls look for food.",
        "A red boat between two blue ones, with nets on the quay.",
    ),
    things=(
        Thing(Box(0.050, 0.420, 0.330, 0.700), ("boat",), ("blue",), ("a blue boat with a white cabin",)),
        Thing(Box(0.360, 0.440, 0.610, 0.720), ("boat",), ("red", "rusty")),
        Thing(Box(0.650, 0.430, 0.960, 0.740), ("boat",), ("blue", "freshly painted")),
        Thing(Box(0.200, 0.780, 0.520, 0.930), ("net",), ("green",), ("nets spread out to dry",)),
        Thing(Box(0.560, 0.800, 0.610, 0.870), ("gull",), ("white",)),
        Thing(Box(0.710, 0.790, 0.790, 0.900), ("bucket",), ("yellow", "plastic"), ("a bucket full of small fish",)),
    ),
    relations=(Relation(4, "looking at", 5), Relation(3, "lying in front of", 1), Relation(1, "tied up beside", 0)),
)
STREET = Facts(
    captions=(
        "A narrow street with a bakery and a parked van.",
        "A delivery van blocks the pavement in front of a shop.",
        "An old street corner in the morning, with a woman carrying bread.",
    ),
    things=(
        Thing(Box(0.120, 0.100, 0.480, 0.200), ("sign",), text="BOULANGERIE"),
        Thing(Box(0.560, 0.380, 0.950, 0.860), ("van",), ("white",)),
        Thing(Box(0.700, 0.550, 0.860, 0.610), text="FRESH FLOUR DAILY"),
        Thing(Box(0.330, 0.400, 0.450, 0.880), ("woman",), ("elderly",), ("a woman with two long loaves under her arm",)),
        Thing(Box(0.505, 0.060, 0.550, 0.140), ("sign",), ("round",), text="30"),
    ),
)
PLAYGROUND = Facts(
    captions=(
        "Children queue at a slide on a sunny afternoon.",
        "Four children play while a dog waits under a bench.",
        "A playground with a blue slide and a bench under a tree.",
    ),
    things=(
        Thing(Box(0.180, 0.100, 0.270, 0.340), ("child",), ("laughing",), ("a child at the top of the slide",)),
        Thing(Box(0.300, 0.420, 0.390, 0.690), ("child",), phrases=("a child climbing the ladder",)),
        Thing(Box(0.420, 0.510, 0.520, 0.830), ("child",), ("barefoot",)),
        Thing(Box(0.540, 0.500, 0.650, 0.850), ("child",), phrases=("a child holding a yellow ball",)),
        Thing(Box(0.760, 0.600, 0.980, 0.800), ("bench",), ("wooden",)),
        Thing(Box(0.820, 0.780, 0.900, 0.860), ("dog",), ("small", "brown"), ("a dog lying in the shade",)),
    ),
    relations=(Relation(5, "under", 4), Relation(3, "behind", 2)),
)


@dataclass(frozen=True)
class Example:
    """Facts, and a dialogue about them as it should be."""

    facts: Facts
    turns: tuple[tuple[str, str], ...]


EXAMPLES: dict[str, tuple[Example, Example]] = {
    "small_objects": (
        Example(
            KITCHEN,
            (
                (
                    "Look closely at <region:5>. How can you tell that it is being used right now?",
                    "It is a glass jar that stands open on the table with a spoon in it, within reach of the man who is baking, "
                    "so he has probably just taken something out of it for his dough.",
                ),
            ),
        ),
        Example(
            HARBOUR,
            (
                (
                    "Why might <region:5> be standing so close to the thing on its right?",
                    "It is a gull, and the yellow bucket beside it is full of small fish. It is looking at the bucket, most "
                    "likely hoping for an easy meal.",
                ),
            ),
        ),
    ),
    "object_relations": (
        Example(
            KITCHEN,
            (
                (
                    "How are <region:1> and <region:3> connected in this scene?",
                    "The cat is watching the man: it sits upright on a chair at the left and follows what he does while he rolls "
                    "out the dough.",
                ),
            ),
        ),
        Example(
            PLAYGROUND,
            (
                (
                    "Where has <region:6> settled, and what does it gain from the thing above it?",
                    "The small dog is lying under the wooden bench, which gives it shade on this sunny afternoon.",
                ),
            ),
        ),
    ),
    "text_in_picture": (
        Example(
            STREET,
            (
                (
                    "Which kind of shop does <region:1> announce, and who in the street seems to have just been there?",
                    'The sign reads "BOULANGERIE", the French word for a bakery. The elderly woman with two long loaves under '
                    "her arm has probably just bought them there.",
                ),
            ),
        ),
        Example(
            STREET,
            (
                (
                    "Read what is written in <region:3>. Why does the vehicle stop in this very place?",
                    'It says "FRESH FLOUR DAILY" on the side of the white van. The van delivers flour, and it has stopped in '
                    "front "
                    "of a bakery, which needs it every day.",
                ),
            ),
        ),
    ),
    "attributes": (
        Example(
            HARBOUR,
            (
                (
                    "Compare the condition of <region:2> with that of <region:3>. Which one has been looked after lately?",
                    "The red boat in the middle is rusty, while the blue one on the right is freshly painted, so the one on the "
                    "right has been looked after lately.",
                ),
            ),
        ),
        Example(
            KITCHEN,
            (
                (
                    "Of what is <region:2> made, and does that suit what it is used for?",
                    "The rolling pin is made of wood. That suits it well: wood is firm enough to press dough flat, and dusted "
                    "with flour it does not stick.",
                ),
            ),
        ),
    ),
    "several_of_a_kind": (
        Example(
            PLAYGROUND,
            (
                (
                    "Which part of the game has <region:2> reached, compared with the other children?",
                    "This child is climbing the ladder of the slide. One child has already arrived at the top, and the two on "
                    "the right are still standing on the ground.",
                ),
            ),
        ),
        Example(
            HARBOUR,
            (
                (
                    "What sets <region:2> apart from the other two of its kind?",
                    "It is the only red boat, and it is rusty; it lies in the middle, while the boats to its left and right are "
                    "both blue.",
                ),
            ),
        ),
    ),
    "multi_turn": (
        Example(
            KITCHEN,
            (
                ("Who is in <region:1>?", "A bearded man in a striped apron, who is rolling out dough."),
                (
                    "What is he holding, and how does he use it?",
                    "He is holding a wooden rolling pin. He pushes it back and forth over the dough on the table, so that the "
                    "dough becomes flat and even.",
                ),
                (
                    "Is he alone while he works, or does <region:3> keep him company?",
                    "He has company: a grey cat sits upright on the white chair at the left and watches him. Perhaps it is "
                    "curious, or it hopes that something falls from the table.",
                ),
                (
                    "What does all this suggest about where he is baking?",
                    "This looks like a kitchen at home rather than a bakery. There is a cat on a chair, which no professional "
                    "bakery would allow, the table is an ordinary wooden one with jars on it, and he seems to be enjoying "
                    "himself.",
                ),
            ),
        ),
        Example(
            HARBOUR,
            (
                ("What is lying in <region:4>?", "Green nets, spread out to dry on the quay."),
                (
                    "Who would use them, and from which of the boats?",
                    "Fishermen would use them, from boats such as the three that are tied up here. The nets lie in front of the "
                    "red boat, so they may well belong to it.",
                ),
                (
                    "Does <region:6> tell how the last trip went?",
                    "It does: the yellow bucket is full of small fish, so something was caught. With the nets already drying, "
                    "the work of the day seems to be over, and a gull is waiting for what is left.",
                ),
            ),
        ),
    ),
    "general": (
        Example(
            PLAYGROUND,
            (
                (
                    "Describe what is going on in <region:1>.",
                    "A laughing child has reached the top of the slide and is about to come down.",
                ),
                (
                    "Where is <region:5> in relation to the children?",
                    "The wooden bench stands at the right, some way from the slide and from the children who queue for it.",
                ),
                (
                    "Could <region:4> and the animal in <region:6> start a game together?",
                    "Very likely: the child is holding a yellow ball, and the small dog is lying in the shade close by with "
                    "nothing to do. Dogs often love to chase a ball.",
                ),
            ),
        ),
        Example(
            HARBOUR,
            (
                (
                    "Name the colour and the state of <region:3>.",
                    "This boat is blue and freshly painted.",
                ),
                (
                    "What role does <region:6> play for the bird beside it?",
                    "The bucket is full of small fish, so for the gull it is a promising source of food.",
                ),
                (
                    "Between which neighbours does <region:2> lie?",
                    "The red boat lies between two blue boats, all of them tied up in the small harbour.",
                ),
            ),
        ),
    ),
}
