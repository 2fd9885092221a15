"""Import every plugin module, so that one --code argument registers all of them."""

import plugins.adamw
import plugins.attention
import plugins.batch
import plugins.blas
import plugins.crf
import plugins.decide
import plugins.decoders
import plugins.embed
import plugins.entity_files
import plugins.entity_scorers
import plugins.interleaved
import plugins.lmao
import plugins.lmfao
import plugins.losses
import plugins.markup
import plugins.multitask
import plugins.my_stream
import plugins.ner_crf
import plugins.ner_labels
import plugins.pair_scorer
import plugins.pairs
import plugins.raw_text
import plugins.schedules
import plugins.seq2seq
import plugins.seq2seq_models
import plugins.shards
import plugins.shims
import plugins.standoff
import plugins.stream
import plugins.text_cnn
import plugins.textcat
import plugins.tokenizer
import plugins.torch_lstm
import plugins.tracking
import plugins.transformer
import plugins.vocabulary  # noqa: F401
