"""Import every plugin module, so that one --code argument registers all of them."""

from . import decide, losses, textcat, tokenizer
