"""Book covers: two covers by one author, about one subject, or both. Titles, authors and covers are made up."""

import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageColor, ImageDraw, ImageFont

from data_pipelines.mmlink.icons import SYMBOLS, icon
from data_pipelines.mmlink.pair import Pair, Placement, instruction, of_split

WIDTH, HEIGHT = 224, 320  # pixels
MARGIN = 14  # pixels
MOTIF_SIDE = 110  # pixels
TITLE_POINTS, AUTHOR_POINTS = 25, 17
DARK = 384  # sum of red, green and blue below which a cover is printed in white
FIRST_NAMES = (
    "Anna", "Boris", "Carla", "David", "Elena", "Frank", "Grace", "Hugo", "Irene", "Jonas", "Karin", "Leo", "Maria",
    "Nils", "Olga", "Paul", "Rosa", "Simon", "Tanja", "Victor",
)  # fmt: skip
LAST_NAMES = (
    "Berg", "Castle", "Dahl", "Ebert", "Fox", "Garcia", "Hill", "Ivers", "Jansen", "Keller", "Lund", "Moore", "Novak",
    "Olsen", "Price", "Reed", "Stone", "Turner", "Vogel", "Wood",
)  # fmt: skip
AUTHORS = tuple(f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES)
# Subjects are among those that icons stand for: the motif on the cover is one of these icons.
TITLES = {
    "the sea": ("Below the Waves", "The Tides of the North", "A Sailor's Year", "Deep Water", "Letters from the Coast"),
    "the farm": ("The Old Barn", "A Year in the Fields", "Milk and Hay", "Early Mornings", "Of Cows and Crops"),
    "the jungle": ("Green Shadows", "A River without a Bridge", "Under the Canopy", "Tracks in the Mud", "The Rain Forest"),
    "space": ("Beyond the Moon", "The Long Orbit", "Nine Planets", "Silent Stars", "A Signal from Afar"),
    "music": ("The Second Violin", "Scales and Chords", "A Song a Day", "The Quiet Note", "How to Hear"),
    "sport": ("The Last Minute", "Training for Life", "Fair Play", "Home Game", "The Art of Winning"),
    "science": ("Small Worlds", "The Curious Mind", "What Atoms Do", "A Proof of Life", "Experiments at Home"),
    "medicine": ("Healthy Hearts", "The Country Doctor", "A History of Healing", "Night Shift", "First Aid for All"),
    "cooking": ("One Pot", "Salt and Time", "The Sunday Table", "Soups of the World", "A Cook's Notebook"),
    "sweets": ("Sugar and Spice", "The Little Bakery", "Chocolate Days", "Desserts in Ten Minutes", "Sweet Tooth"),
    "travel": ("The Night Train", "Slow Roads", "Maps and Miles", "Around the World by Bus", "Far from Home"),
    "building": ("Brick by Brick", "A House of Your Own", "The Handy Family", "Walls and Roofs", "Wood and Nails"),
    "money": ("Saving for Later", "The Price of Things", "Coins and Notes", "A Rich Life", "Simple Accounts"),
    "childhood": ("The Attic Toys", "When We Were Small", "Bedtime Tales", "My First Kite", "Play"),
    "school": ("The New Class", "Learning to Learn", "Ink and Paper", "The Last Lesson", "Recess"),
    "the cinema": ("Lights Down", "A Film a Week", "Behind the Camera", "The Silent Screen", "Final Cut"),
}
LINKS = ("author", "subject", "both")
_COVERS = ("#243b55", "#7a2e2e", "#2f5d3a", "#f2e2c4", "#e9e4f0", "#54406b", "#d8e8ec", "#333333", "#c9a227")


@dataclass(frozen=True, slots=True)
class Book:
    """What a cover tells.

    Args:
        title, author: as printed.
        subject: a key of `TITLES`; seen in the motif.
        motif: an icon.
    """

    title: str
    author: str
    subject: str
    motif: str

    @property
    def source(self) -> str:
        """Its id."""
        return f"{self.author}: {self.title} ({self.motif})"


def book_pair(rng: random.Random, split: str) -> Pair:
    """Two covers that share author, subject or both, each equally often; titles and motifs always differ."""
    link = rng.choice(LINKS)
    authors = rng.sample(of_split(AUTHORS, split), 2)
    subjects = rng.sample(tuple(TITLES), 2)
    first = _book(rng, authors[0], subjects[0], None)
    author = authors[1] if link == "subject" else authors[0]
    subject = subjects[1] if link == "author" else subjects[0]
    second = _book(rng, author, subject, first)
    pictures, placements = [], []
    for number, book in enumerate((first, second)):
        picture, box = cover(book, rng.choice(_COVERS), title_first=rng.random() < 0.5)
        pictures.append(picture)
        placements.append(Placement(number, book.source, book.motif, box, shared=False))
    answers = {
        "author": f"Both books are by {author}: one is about {first.subject}, the other about {second.subject}.",
        "subject": f"Both books are about {subject}: one is by {first.author}, the other by {second.author}.",
        "both": f"Both books are by {author} and about {subject}.",
    }
    return Pair((pictures[0], pictures[1]), tuple(placements), instruction("book_covers", rng), answers[link], {"shared": link})


def cover(book: Book, color: str, title_first: bool) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A cover, and the box of its motif; the title stands above or below it."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), color)
    brush = ImageDraw.Draw(picture)
    ink = "white" if sum(ImageColor.getrgb(color)) < DARK else "#222222"
    brush.rectangle((6, 6, WIDTH - 7, HEIGHT - 7), outline=ink)
    title = _wrapped(book.title, WIDTH - 2 * MARGIN)
    title_height = title.count("\n") * (TITLE_POINTS + 6) + TITLE_POINTS
    motif = icon(book.motif, MOTIF_SIDE)
    plate_top = MARGIN + title_height + 16 if title_first else MARGIN + 6
    title_top = MARGIN + 6 if title_first else plate_top + MOTIF_SIDE + 12
    left, top = (WIDTH - motif.width) // 2, plate_top + (MOTIF_SIDE - motif.height) // 2
    brush.rounded_rectangle((left - 8, top - 8, left + motif.width + 8, top + motif.height + 8), 10, fill="white")
    picture.paste(motif, (left, top), motif)
    middle = WIDTH / 2
    brush.multiline_text((middle, title_top), title, ink, _font(TITLE_POINTS), anchor="ma", spacing=6, align="center")
    brush.text((middle, HEIGHT - MARGIN - 6), book.author, ink, _font(AUTHOR_POINTS), anchor="md")
    return picture, (left, top, left + motif.width, top + motif.height)


def _book(rng: random.Random, author: str, subject: str, other: Book | None) -> Book:
    """A book with another title and motif than the other."""
    titles = [title for title in TITLES[subject] if other is None or title != other.title]
    motifs = [name for name in SYMBOLS[subject] if other is None or name != other.motif]
    return Book(rng.choice(titles), author, subject, rng.choice(motifs))


def _wrapped(title: str, width: int) -> str:
    """The title in as few lines as fit."""
    lines = [""]
    for text in title.split():
        longer = f"{lines[-1]} {text}".strip()
        if _font(TITLE_POINTS).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(text)
    return "\n".join(lines).strip()


@cache
def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that covers look the same on every machine."""
    return ImageFont.load_default(points)
