"""Import every plugin module, so that one --code argument registers all of them."""

import plugins.attention
import plugins.batch
import plugins.blas
import plugins.decide
import plugins.embed
import plugins.interleaved
import plugins.lmao
import plugins.lmfao
import plugins.losses
import plugins.multitask
import plugins.my_stream
import plugins.raw_text
import plugins.shards
import plugins.shims
import plugins.stream
import plugins.textcat
import plugins.tokenizer
import plugins.torch_lstm
import plugins.tracking
import plugins.transformer
import plugins.vocabulary  # noqa: F401
