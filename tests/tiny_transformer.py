"""A transformer of a few kilobytes with the files of a real one."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = ["the", "a", "my", "you", "so", "it", "is", "to", "love", "hate", "open", "##s", "##ing"]


def save_tiny_transformer(folder: Path, width: int = 16) -> Path:
    """Write config, weights and tokenizer of a small BERT with random weights."""
    folder.mkdir(parents=True)
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *WORDS, *".,!?'[]"]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)) + "\n", encoding="utf8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=width,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=2 * width,
                max_position_embeddings=512,
            )
        )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=True)
    return folder
