"""Instruction data about regions, written by a language model that reads what is known of pictures (PVIT, strategies b and c).

facts      `read_pictures`: captions, boxes, names, attributes and relations of each picture of one or more shard sets
kinds      the seven kinds of dialogues: which pictures suit them, and what the model is told
examples   our examples of each kind, shown to the model
plan       `write_plan`: which picture is asked for which kinds
journal    `Journal`: every answer that was paid for
checks     `read_dialogue`: what is accepted as a dialogue, and why not
run        `generate`: plan, estimate, ask, check, write
options    the command line
"""
