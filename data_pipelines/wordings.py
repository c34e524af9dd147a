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
    "statement_of_pictures": (
        'Is this true of the pictures? "{statement}" Answer yes or no.',
        '"{statement}" Do the pictures agree? Yes or no?',
    ),
    "difference": (
        "What is different in <image:2> compared with <image:1>?",
        "<image:1> was taken before <image:2>. What changed?",
        "Compare <image:1> with <image:2> and say what changed.",
    ),
    "story_of_pictures": (
        "Tell a story about these pictures, a sentence a picture.",
        "What happens in these pictures? Tell it as a story.",
        "Write the story that the pictures show, in their order.",
    ),
    "end_of_story": (
        "{story} How does the story end?",
        "{story} Tell what happens in the last picture.",
        "{story} Write the last sentence of the story.",
    ),
    "count": ("How many {plural} are there?", "Count the {plural}.", "What is the number of {plural} in the picture?"),
    "color": ("What color is the {name}?", "Which color does the {name} have?", "Name the color of the {name}."),
    "relation": (
        "What is {relation} the {name}?",
        "Which object is {relation} the {name}?",
        "Name what is {relation} the {name}.",
    ),
    "pointing": ("Where is {phrase}?", "Find {phrase}.", "Give the box of {phrase}.", "Point to {phrase}."),
    "pointing_described": (
        'Where is this? "{phrase}"',
        'Find what "{phrase}" describes.',
        'Give the box that fits "{phrase}".',
        'Point to this: "{phrase}".',
    ),
    "recognition": ("What is at {region}?", "Name the object in {region}.", "Which object is inside {region}?"),
    "text": ("What is written in {region}?", "Read the text in {region}.", "Which words stand in {region}?"),
    "shared_element": (
        "{images} Which object do all these pictures show?",
        "{images} What do the pictures have in common? Name the object.",
        "Compare {images}. Name what is in every picture.",
    ),
    "pointing_shared": (
        "{images} One object is in every picture. Where is it in the {ordinal} picture?",
        "{images} Find what all pictures show. Give its box in the {ordinal} picture.",
    ),
    "change": (
        "{images} What changed from the first picture to the second, apart from the background?",
        "Compare {images}. What is different in the second picture, but for the background?",
    ),
    "which_picture": (
        "{images} Which picture shows {sentence}: {ordinals}?",
        '{images} To which picture does "{sentence}" belong, {ordinals}?',
    ),
    "odd_picture": (
        "{images} All pictures but one have an object in common. Which does not show it: {ordinals}?",
        "{images} Which picture lacks what all others show, {ordinals}?",
    ),
    "group_caption": (
        "{images} Write one sentence that is true of every picture.",
        "{images} Describe in one sentence what the pictures have in common.",
        "What is the theme of these pictures? {images}",
    ),
    "story": (
        "{images} Tell the story of the animal that is in every picture.",
        "One animal goes through all these pictures. {images} What happens to it?",
    ),
    "story_end": (
        "One animal is in every picture. {story} {last} How does its story end?",
        "A story of the animal that all pictures show: {story} {last} Tell the end.",
    ),
    "attribute": (
        "What is the {name} in {region} like?",
        "Describe the {name} at {region} in a few words.",
        "Name the attributes of the {name} in {region}.",
    ),
    "relationship": (
        "How is the {subject} in {first} related to the {object} in {second}?",
        "What does the {subject} at {first} have to do with the {object} at {second}?",
        "Name the relation of the {subject} in {first} to the {object} in {second}.",
    ),
    "reference": (
        "Refer to {region} so that nothing else in the picture is meant.",
        "Give a phrase that fits only what is at {region}.",
        "Which words single out what is in {region}?",
    ),
    "why": ("Why do you think so?", "How can you tell?", "What makes you say that?", "Give the reason.", "Why?"),
    "link_icons": (
        "{images} Which icon is in both grids?",
        "{images} Find the icon that the two pictures share, and say what it stands for.",
        "Pinpoint the one icon that occurs in {images} alike.",
    ),
    "link_book_covers": (
        "{images} How are these two books connected?",
        "{images} What do the two books have in common?",
        "Find the link between the books on {images}.",
    ),
    "link_characters": (
        "{images} Describe the person who is in both pictures.",
        "{images} One person appears twice. What does this person look like and wear?",
        "Who is in {images} alike? Give details of the clothing.",
    ),
    "link_furniture": (
        "{images} Describe the piece of furniture that both pictures show.",
        "{images} Which household item is in both places?",
        "What can be seen in {images} alike? Describe it.",
    ),
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
