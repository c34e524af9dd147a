"""How tasks are asked: several wordings a task, all our own, chosen by the converter's seeded generator.

Pointing is answered by a box, which the prompt style writes; so wordings name `<region:1>` and never hold numbers.
"""

import random

WORDINGS: dict[str, tuple[str, ...]] = {
    "caption": (
        "Describe the picture in one short sentence.",
        "What does the picture show? Answer in one sentence.",
        "Write a short caption.",
    ),
    "question": ("{question}", "{question} Answer with a word or two.", "Look at the picture. {question}"),
    "yes_no": ("{question} Answer yes or no.", "{question} Yes or no?", "{question}"),
    "statement": (
        'Is this true of the picture? "{statement}" Answer yes or no.',
        '"{statement}" Does the picture agree? Yes or no?',
    ),
    "count": ("How many {plural} are there?", "Count the {plural}.", "What is the number of {plural} in the picture?"),
    "color": ("What color is the {name}?", "Which color does the {name} have?", "Name the color of the {name}."),
    "relation": (
        "What is {relation} the {name}?",
        "Which object is {relation} the {name}?",
        "Name what is {relation} the {name}.",
    ),
    "pointing": ("Where is {phrase}?", "Find {phrase}.", "Give the box of {phrase}.", "Point to {phrase}."),
    "recognition": ("What is at {region}?", "Name the object in {region}.", "Which object is inside {region}?"),
    "description": ("Describe what is at {region}.", "What can be seen in {region}?", "Write a phrase for {region}."),
}


def word(task: str, rng: random.Random, **fields: str) -> str:
    """One wording of a task, with its fields filled.

    Args:
        task: a key of `WORDINGS`.
        rng: the converter's generator, so that the same seed gives the same text.
        fields: what the task's wordings name in braces.
    """
    return rng.choice(WORDINGS[task]).format(**fields)
