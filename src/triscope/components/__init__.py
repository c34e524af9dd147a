"""Parts of the model: `nn.Module`s with plain arguments, tensors in and tensors out. No Lightning, no YAML."""
