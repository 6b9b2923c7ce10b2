"""Attention as people write it beyond one sequence attending to itself: masks, other keys, torch's transformers."""

import torch
from torch import nn


class Causal(nn.Module):
    """a causal mask made in forward"""

    def __init__(self, batch_first=True):
        super().__init__()
        self.first = batch_first
        self.inputs = nn.Linear(6, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.inputs(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1), device=x.device)
        if self.first:
            return self.head(self.encoder(x, mask=mask, is_causal=True))
        return self.head(self.encoder(x.transpose(0, 1), mask=mask).transpose(0, 1))


class CausalTimeFirst(Causal):
    """torch's default order of the axes"""

    def __init__(self):
        super().__init__(batch_first=False)


class TimeFirst(nn.Module):
    """no mask; a layer of attention by itself after the encoder, and a mean over time"""

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 24), 2, nn.LayerNorm(8))
        self.attention = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.encoder(x.permute(1, 0, 2))
        return self.head(x.mean(0) + self.attention(x, x, x)[0].mean(dim=0))


class KeptMask(nn.Module):
    """a mask that is a buffer, of which a part is used"""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 24, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.register_buffer("mask", torch.triu(torch.ones(20, 20, dtype=torch.bool), diagonal=1))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        steps = x.shape[1]
        return self.head(self.encoder(x, self.mask[:steps, :steps])[:, -1])


class Padded(nn.Module):
    """words of which some are padding"""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 8, padding_idx=0)
        layer = nn.TransformerEncoderLayer(8, 2, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        padding = x == 0
        y = self.encoder(self.words(x), src_key_padding_mask=padding)
        kept = (~padding).unsqueeze(-1).float()
        return self.head((y * kept).sum(1) / kept.sum(1).clamp(min=1))


class LearnedQueries(nn.Module):
    """a few learned queries look at a sequence of another width; what they look at is used too"""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 4, 16))
        self.body = nn.Linear(6, 12)
        self.attention = nn.MultiheadAttention(16, 4, kdim=12, vdim=12, batch_first=True)
        self.head = nn.Linear(4 * 16 + 4 * 9, 3)

    def forward(self, x):
        x = torch.relu(self.body(x))
        found, weights = self.attention(self.queries.expand(x.size(0), -1, -1), x, x)
        return self.head(torch.cat([found.flatten(1), weights.flatten(1)], 1))


class Crossed(nn.Module):
    """two streams, time first, each of which attends to the other, with weights apart for each head"""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(5, 8), nn.Linear(3, 8)
        self.attention = nn.MultiheadAttention(8, 2, bias=False)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        left, right = self.left(x[..., :5]).transpose(0, 1), self.right(x[..., 5:]).transpose(0, 1)
        one, _ = self.attention(left, right, right, average_attn_weights=False)
        other, _ = self.attention(right, left, left, need_weights=False)
        return self.head(torch.cat([one.mean(0), other[-1]], dim=-1))


class Decoder(nn.Module):
    """torch's decoder of learned queries over the features of an image"""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 16, 4, 4)
        self.queries = nn.Parameter(torch.randn(5, 16))
        layer = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, 2)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        memory = torch.relu(self.body(x)).flatten(2).transpose(1, 2)
        return self.head(self.decoder(self.queries.unsqueeze(0).repeat(x.shape[0], 1, 1), memory))


class Translator(nn.Module):
    """torch's whole transformer: words in, shifted words out"""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(30, 8), nn.Embedding(20, 8)
        self.transformer = nn.Transformer(8, 2, 1, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 20)

    def forward(self, words, shifted):
        mask = self.transformer.generate_square_subsequent_mask(shifted.size(1))
        padding = words == 0
        y = self.transformer(
            self.source(words),
            self.target(shifted),
            tgt_mask=mask.bool(),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.head(y)


class Looking(nn.Module):
    """what each head looks at is the result"""

    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = torch.tanh(self.inputs(x))
        found, weights = self.attention(x, x, x, need_weights=True, average_attn_weights=False)
        return found, weights.mean(2)


class LookingAsCalled(Looking):
    """what is looked at weighs what is found, of a layer that is called as torch has it"""

    def forward(self, x):
        x = torch.tanh(self.inputs(x))
        found, weights = self.attention(x, x, x)
        return (found * weights.sum(1).unsqueeze(-1)).mean(1)


class OwnKeys(nn.Module):
    """keys and values of the layer's own after those of the sequence, and one of zeros; later steps are masked"""

    def __init__(self, bias=True, zeros=True):
        super().__init__()
        self.inputs = nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=bias, add_zero_attn=zeros)
        if bias:
            nn.init.normal_(self.attention.bias_k)
            nn.init.normal_(self.attention.bias_v)

    def forward(self, x):
        x = torch.tanh(self.inputs(x))
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)
        return self.attention(x, x, x, attn_mask=mask, key_padding_mask=torch.zeros_like(x[..., 0]).bool())[0].amax(1)


class OwnZeros(OwnKeys):
    """a key and a value of zeros alone"""

    def __init__(self):
        super().__init__(bias=False)


ATTENDING = {
    "causal": (Causal, (7, 6)),
    "causal_time_first": (CausalTimeFirst, (7, 6)),
    "time_first": (TimeFirst, (7, 8)),
    "kept_mask": (KeptMask, (7, 8)),
    "padded": (Padded, (9,)),
    "learned_queries": (LearnedQueries, (9, 6)),
    "crossed": (Crossed, (6, 8)),
    "decoder": (Decoder, (3, 16, 16)),
    "looking": (Looking, (7, 6)),
    "looking_as_called": (LookingAsCalled, (7, 6)),
    "own_keys": (OwnKeys, (7, 6)),
    "own_zeros": (OwnZeros, (7, 6)),
    "translator": (Translator, (9,), (6,)),
}
"""The network, and the shapes of its inputs; inputs of one axis are words."""
