"""MmLINK: pairs of very different pictures that share one element (SAM, arXiv 2408.12867), rebuilt from its description.

pair        what the four domains make: two pictures, one instruction, one answer, and where all of it came from
icons       two grids of six icons with one in common
books       two book covers by one author, about one subject, or both
linking     characters and furniture: segment, place, describe a background, inpaint it, caption the source, ask
steps       what each step of `linking` is given and gives; `requests` are the records between them
drawn       the steps without any download: drawings with alpha, textures, known names, templates
learned     the steps with Hugging Face and diffusers models
writing     the texts written by a language model
options     the command line of all this
subjects    whom and what `linking` places: OpenMoji people and furniture, or a folder of photos
"""
