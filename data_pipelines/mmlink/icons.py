"""Icons: two grids of six icons on white with one in common, at another place and in another size."""

import random
from functools import cache

from PIL import Image

from data_pipelines.mmlink.pair import Pair, Placement, instruction, of_split
from data_pipelines.scenes.objects import cut_out, drawing, with_article

COLUMNS, ROWS = 3, 2
CELL = 112  # pixels of a grid's cell
SIDES = (64, 76, 88)  # pixels of an icon's canvas
MARGIN = 8  # pixels kept free at the edges of a cell

# what they stand for: {name: OpenMoji code}
SYMBOLS: dict[str, dict[str, str]] = {
    "autumn": {"chestnut": "1F330", "maple leaf": "1F341", "fallen leaf": "1F342", "ear of rice": "1F33E",
               "jack-o'-lantern": "1F383", "mushroom": "1F344", "grapes": "1F347", "turkey": "1F983"},
    "winter": {"scarf": "1F9E3", "gloves": "1F9E4", "coat": "1F9E5", "skis": "1F3BF", "sled": "1F6F7",
               "ice cube": "1F9CA", "curling stone": "1F94C", "Christmas tree": "1F384"},
    "spring": {"tulip": "1F337", "cherry blossom": "1F338", "seedling": "1F331", "hatching chick": "1F423",
               "lady beetle": "1F41E", "butterfly": "1F98B", "nest of eggs": "1FABA", "bouquet": "1F490"},
    "summer": {"palm tree": "1F334", "watermelon": "1F349", "bikini": "1F459", "sunglasses": "1F576",
               "desert island": "1F3DD", "soft ice cream": "1F366", "sandal": "1F461", "tropical drink": "1F379"},
    "the sea": {"whale": "1F433", "octopus": "1F419", "crab": "1F980", "shell": "1F41A", "dolphin": "1F42C",
                "shark": "1F988", "anchor": "2693", "lobster": "1F99E", "ship": "1F6A2", "ring buoy": "1F6DF"},
    "the farm": {"cow": "1F404", "pig": "1F416", "rooster": "1F413", "tractor": "1F69C", "goat": "1F410",
                 "ear of maize": "1F33D", "sheep": "1F411", "egg": "1F95A", "glass of milk": "1F95B"},
    "the jungle": {"tiger": "1F405", "parrot": "1F99C", "gorilla": "1F98D", "snake": "1F40D", "monkey": "1F412",
                   "leopard": "1F406", "sloth": "1F9A5", "orangutan": "1F9A7"},
    "the desert": {"cactus": "1F335", "camel": "1F42A", "scorpion": "1F982", "lizard": "1F98E"},
    "the night": {"owl": "1F989", "bat": "1F987", "crescent moon": "1F319", "candle": "1F56F", "bed": "1F6CF",
                  "flashlight": "1F526", "raccoon": "1F99D"},
    "space": {"rocket": "1F680", "satellite": "1F6F0", "telescope": "1F52D", "flying saucer": "1F6F8",
              "ringed planet": "1FA90", "comet": "2604"},
    "music": {"guitar": "1F3B8", "violin": "1F3BB", "trumpet": "1F3BA", "saxophone": "1F3B7", "drum": "1F941",
              "accordion": "1FA97", "banjo": "1FA95", "headphones": "1F3A7", "microphone": "1F3A4"},
    "sport": {"soccer ball": "26BD", "tennis racket": "1F3BE", "rugby ball": "1F3C9", "volleyball": "1F3D0",
              "boxing glove": "1F94A", "trophy": "1F3C6", "skateboard": "1F6F9", "bowling pins": "1F3B3"},
    "school": {"backpack": "1F392", "graduation cap": "1F393", "ruler": "1F4CF", "books": "1F4DA", "crayon": "1F58D",
               "abacus": "1F9EE", "notebook": "1F4D3", "paper clip": "1F4CE"},
    "science": {"microscope": "1F52C", "test tube": "1F9EA", "petri dish": "1F9EB", "DNA double helix": "1F9EC",
                "magnet": "1F9F2", "compass": "1F9ED"},
    "medicine": {"syringe": "1F489", "pill": "1F48A", "stethoscope": "1FA7A", "adhesive bandage": "1FA79",
                 "ambulance": "1F691", "tooth": "1F9B7", "thermometer": "1F321"},
    "cooking": {"frying pan": "1F373", "pot of food": "1F372", "spoon": "1F944", "salt shaker": "1F9C2",
                "garlic": "1F9C4", "onion": "1F9C5", "hot pepper": "1F336", "carrot": "1F955", "broccoli": "1F966"},
    "breakfast": {"croissant": "1F950", "pancakes": "1F95E", "bacon": "1F953", "waffle": "1F9C7", "bagel": "1F96F",
                  "honey pot": "1F36F", "bread": "1F35E"},
    "sweets": {"doughnut": "1F369", "cookie": "1F36A", "chocolate bar": "1F36B", "candy": "1F36C",
               "lollipop": "1F36D", "cupcake": "1F9C1", "custard": "1F36E"},
    "a celebration": {"balloon": "1F388", "birthday cake": "1F382", "gift": "1F381", "party popper": "1F389",
                      "fireworks": "1F386", "clinking glasses": "1F942", "confetti ball": "1F38A"},
    "love": {"red heart": "2764", "ring": "1F48D", "love letter": "1F48C", "rose": "1F339", "heart with arrow": "1F498"},
    "travel": {"airplane": "2708", "luggage": "1F9F3", "world map": "1F5FA", "passenger ship": "1F6F3",
               "locomotive": "1F682", "camera": "1F4F7", "bus": "1F68C", "tent": "26FA"},
    "building": {"hammer": "1F528", "wrench": "1F527", "brick": "1F9F1", "toolbox": "1F9F0", "ladder": "1FA9C",
                 "saw": "1FA9A", "screwdriver": "1FA9B", "construction crane": "1F3D7"},
    "money": {"money bag": "1F4B0", "credit card": "1F4B3", "purse": "1F45B", "gem": "1F48E", "coin": "1FA99"},
    "royalty": {"crown": "1F451", "castle": "1F3F0", "shield": "1F6E1", "dagger": "1F5E1"},
    "the office": {"briefcase": "1F4BC", "printer": "1F5A8", "file cabinet": "1F5C4", "clipboard": "1F4CB",
                   "desktop computer": "1F5A5", "necktie": "1F454", "wastebasket": "1F5D1"},
    "cleaning": {"broom": "1F9F9", "sponge": "1F9FD", "soap": "1F9FC", "bucket": "1FAA3", "shower": "1F6BF"},
    "the cinema": {"clapper board": "1F3AC", "popcorn": "1F37F", "movie camera": "1F3A5", "film frames": "1F39E"},
    "childhood": {"teddy bear": "1F9F8", "baby bottle": "1F37C", "yo-yo": "1FA80", "kite": "1FA81", "puzzle piece": "1F9E9",
                  "carousel horse": "1F3A0"},
    "danger": {"bomb": "1F4A3", "skull": "1F480", "fire": "1F525", "fire extinguisher": "1F9EF", "crocodile": "1F40A"},
}  # fmt: skip
MEANING = {name: meaning for meaning, names in SYMBOLS.items() for name in names}
CODES = {name: code for names in SYMBOLS.values() for name, code in names.items()}
NAMES = tuple(CODES)


def icon_pair(rng: random.Random, split: str) -> Pair:
    """Two grids with one icon in common; all others occur once."""
    cells = COLUMNS * ROWS
    shared, *others = rng.sample(of_split(NAMES, split), 2 * cells - 1)
    grids = [[shared, *others[: cells - 1]], [shared, *others[cells - 1 :]]]
    pictures, placements = [], list[Placement]()
    for number, names in enumerate(grids):
        rng.shuffle(names)
        picture = Image.new("RGB", (COLUMNS * CELL, ROWS * CELL), "white")
        for cell, name in enumerate(names):
            drawn = icon(name, rng.choice(SIDES))
            left = cell % COLUMNS * CELL + rng.randint(MARGIN, CELL - MARGIN - drawn.width)
            top = cell // COLUMNS * CELL + rng.randint(MARGIN, CELL - MARGIN - drawn.height)
            picture.paste(drawn, (left, top), drawn)
            box = (left, top, left + drawn.width, top + drawn.height)
            placements.append(Placement(number, CODES[name], name, box, name == shared))
        pictures.append(picture)
    answer = f"It is {with_article(shared)}, which stands for {MEANING[shared]}."
    return Pair((pictures[0], pictures[1]), tuple(placements), instruction("icons", rng), answer, {"shared": shared})


@cache
def icon(name: str, side: int) -> Image.Image:
    """An icon cut out, from a canvas of that many pixels; rendered once and kept. Do not change it."""
    return cut_out(drawing(CODES[name], {}), side)
