"""Composed scenes: the embedded default data, with exact boxes, tags and relations.

objects    nouns, their drawings (OpenMoji), colours, and rendering
backdrops  textured backgrounds
compose    a seeded `Scene`: what stands where, and its picture
questions  what is asked about a scene, with exact answers
albums     several pictures that share, or do not share, names, categories and colours
album_questions  the kinds of albums, and what is asked about each
samples    `scene_samples`, `album_samples`: Samples with JPEG pictures
text       `text_samples`: the same scenes as text, to pretrain a small language model
"""
