"""The Q-Former against recorded numbers of LION's authors and, live, against Hugging Face's InstructBLIP."""

import torch
from torch.testing import assert_close
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from tests.parity import lion_keys, lion_sizes
from tests.parity.fixture import for_each_fixture
from triscope.components.qformer import QFormer, QFormerBridge

OUTPUTS = {"atol": 1e-4, "rtol": 1e-4}


@for_each_fixture("lion", "lion_full")
def test_qformer_tokens_are_the_authors_from_tap_to_language_model(fixture):
    features = fixture["outputs/vit_tap_last"]
    rows, patches, vision_width = features.shape
    width = fixture.config["t5"]["d_model"]
    bridge = QFormerBridge(vision_width, width, patches, **lion_sizes.qformer(fixture.config)).eval()
    bridge.load_state_dict(lion_keys.ours(fixture.under("weights/"), "bridges.qformer."))
    question = (fixture["inputs/qformer_input_ids"], fixture["inputs/qformer_attention_mask"].bool())

    memory = bridge.norm(features)
    assert_close(memory, fixture["outputs/ln_vision"], **OUTPUTS)
    expected = fixture["outputs/qformer_last_hidden"][:, : bridge.tokens]
    assert_close(bridge.qformer(memory, *question), expected, **OUTPUTS)
    tokens = bridge([features], torch.arange(rows), torch.arange(rows), *question)
    assert_close(tokens, fixture["outputs/visual_tokens_qformer"], **OUTPUTS)


def hugging_face_pair() -> tuple[InstructBlipQFormerModel, QFormer]:
    """Hugging Face's Q-Former with random weights that leave no mistake unseen, and ours with the same."""
    torch.manual_seed(0)
    config = InstructBlipQFormerConfig(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=5,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=12,
        cross_attention_frequency=3,
        encoder_hidden_size=20,
        initializer_range=0.3,
    )
    theirs = InstructBlipQFormerModel(config).eval()
    for parameter in theirs.parameters():  # biases and gains too
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    ours = QFormer(20, 4, 5, 24, 3, 40, vocabulary_size=40, positions=12, cross_attention_every=3).eval()
    state = {
        name.removeprefix("embeddings.").replace("encoder.layer.", "layers.").replace("layernorm.", "norm."): value
        for name, value in theirs.state_dict().items()
    }
    ours.load_state_dict(state | {"queries_Qh": torch.randn(4, 24)})
    return theirs, ours


def test_the_qformer_and_its_gradients_are_hugging_faces_also_with_padded_questions():
    theirs, ours = hugging_face_pair()
    memory, cotangent = torch.randn(3, 7, 20), torch.randn(3, 4, 24)
    ids = torch.randint(1, 40, (3, 6))
    valid = torch.arange(6) < torch.tensor([[6], [3], [1]])

    read = ours(memory, ids, valid)
    readable = torch.cat([torch.ones(3, 4, dtype=torch.long), valid.long()], dim=1)
    queries = ours.queries_Qh.detach().expand(3, -1, -1)
    expected = theirs(ids, readable, query_embeds=queries, encoder_hidden_states=memory).last_hidden_state[:, :4]
    assert_close(read, expected, atol=1e-5, rtol=1e-5)

    (read * cotangent).sum().backward()
    (expected * cotangent).sum().backward()
    for index, layer in enumerate(ours.layers):
        for name, parameter in layer.named_parameters():
            same = theirs.encoder.layer[index].get_parameter(name)
            assert_close(parameter.grad, same.grad, atol=1e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    word_gradient = theirs.embeddings.word_embeddings.weight.grad
    assert_close(ours.word_embeddings.weight.grad, word_gradient, atol=1e-5, rtol=1e-3)
