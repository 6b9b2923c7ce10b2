"""Networks in plain torch, written in as many ways as people write them: what `space_from_model` must read."""

import math
import warnings
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Normalised(nn.Module):
    """normalises in forward with buffers"""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )

    def forward(self, x):
        x = (x / 255.0 - self.mean) / self.std
        return self.body(x)


class Sensor(nn.Module):
    """1d cnn for accelerometers (B, C, T)"""

    def __init__(self, channels=6, classes=5):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(channels, 32, kernel_size=7, stride=2, padding=3),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(32, 64, kernel_size=5, padding=2),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(64, 64, 3, padding="same", dilation=2),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
        )
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        return self.fc(self.net(x).squeeze(-1))


class ConvLSTM(nn.Module):
    """input (B, T, C) -> conv1d -> lstm -> last"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(9, 32, 5, padding=2)
        self.conv2 = nn.Conv1d(32, 32, 5, padding=2)
        self.lstm = nn.LSTM(32, 48, num_layers=2, batch_first=True, dropout=0.2)
        self.fc = nn.Linear(48, 6)

    def forward(self, x):
        x = x.permute(0, 2, 1)
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = x.permute(0, 2, 1)
        out, (_h, _c) = self.lstm(x)
        return self.fc(out[:, -1, :])


class BiLSTMState(nn.Module):
    """concatenates the two last hidden states"""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 32, 1, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.fc(torch.cat([h[-2], h[-1]], dim=1))


class Chomp1d(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, x):
        return x[:, :, : -self.c].contiguous()


class TemporalBlock(nn.Module):
    def __init__(self, i, o, k, d):
        super().__init__()
        wn = nn.utils.parametrizations.weight_norm
        self.conv1 = wn(nn.Conv1d(i, o, k, padding=(k - 1) * d, dilation=d))
        self.chomp1 = Chomp1d((k - 1) * d)
        self.relu1 = nn.ReLU()
        self.conv2 = wn(nn.Conv1d(o, o, k, padding=(k - 1) * d, dilation=d))
        self.chomp2 = Chomp1d((k - 1) * d)
        self.net = nn.Sequential(
            self.conv1, self.chomp1, self.relu1, nn.Dropout(0.1), self.conv2, self.chomp2, nn.ReLU(), nn.Dropout(0.1)
        )
        self.downsample = nn.Conv1d(i, o, 1) if i != o else None

    def forward(self, x):
        out = self.net(x)
        res = x if self.downsample is None else self.downsample(x)
        return F.relu(out + res)


class TCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(TemporalBlock(4, 24, 3, 1), TemporalBlock(24, 24, 3, 2), TemporalBlock(24, 24, 3, 4))
        self.linear = nn.Linear(24, 5)

    def forward(self, x):
        return self.linear(self.net(x)[:, :, -1])


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.a = nn.utils.weight_norm(nn.Linear(12, 32))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Linear(32, 4))

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


class TextCnn(nn.Module):
    """several kernel sizes and max over time, on vectors (B, T, E)"""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(16, 24, k) for k in (3, 4, 5)])
        self.fc = nn.Linear(72, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = x.transpose(1, 2)
        xs = [F.relu(conv(x)) for conv in self.convs]
        xs = [F.max_pool1d(c, c.size(2)).squeeze(2) for c in xs]
        return self.fc(self.dropout(torch.cat(xs, 1)))


class Embed(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(100, 16)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.fc = nn.Linear(32, 2)

    def forward(self, x):
        return self.fc(self.lstm(self.emb(x))[0][:, -1])


class HandAttention(nn.Module):
    """attention written by hand"""

    def __init__(self, d=32, h=4):
        super().__init__()
        self.h = h
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = q.view(B, T, self.h, C // self.h).transpose(1, 2)
        k = k.view(B, T, self.h, C // self.h).transpose(1, 2)
        v = v.view(B, T, self.h, C // self.h).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
        att = F.softmax(att, dim=-1)
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.proj(y)


class HandBlock(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.att = HandAttention(d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(approximate="tanh"), nn.Linear(4 * d, d))

    def forward(self, x):
        x = x + self.att(self.n1(x))
        return x + self.mlp(self.n2(x))


class HandTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 32)
        pe = torch.zeros(1, 20, 32)
        pos = torch.arange(20).unsqueeze(1)
        div = torch.exp(torch.arange(0, 32, 2) * (-math.log(10000.0) / 32))
        pe[0, :, 0::2], pe[0, :, 1::2] = torch.sin(pos * div), torch.cos(pos * div)
        self.register_buffer("pe", pe)
        self.blocks = nn.ModuleList([HandBlock() for _ in range(3)])
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = self.embed(x) * math.sqrt(32) + self.pe[:, : x.size(1)]
        for b in self.blocks:
            x = b(x)
        return self.head(self.norm(x).mean(dim=1))


class BmmAttentionPool(nn.Module):
    """LSTM with attention over time by bmm"""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(8, 32, batch_first=True, bidirectional=True)
        self.att = nn.Linear(64, 1)
        self.fc = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x):
        out, _ = self.rnn(x)
        w = torch.softmax(self.att(out).squeeze(-1), dim=1)
        ctx = torch.bmm(w.unsqueeze(1), out).squeeze(1)
        return self.fc(ctx)


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 32, 3, padding=1)
        self.g1 = nn.GroupNorm(8, 32)
        self.c2 = nn.Conv2d(32, 32, 3, padding=1)
        self.g2 = nn.GroupNorm(8, 32)
        self.i = nn.InstanceNorm2d(32, affine=True)
        self.p = nn.PReLU(32)
        self.fc = nn.Linear(32, 4)

    def forward(self, x):
        x = F.relu(self.g1(self.c1(x)))
        x = x + 0.1 * F.relu(self.g2(self.c2(x)))
        x = self.p(self.i(x))
        return self.fc(x.mean(dim=(-2, -1)))


class SEBlock(nn.Module):
    def __init__(self, c, r=4):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(c, c // r, bias=False), nn.ReLU(inplace=True), nn.Linear(c // r, c, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.avg_pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class Spatial(nn.Module):
    """spatial attention: mean and max over channels"""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 24, 3, padding=1)
        self.s = nn.Conv2d(2, 1, 7, padding=3)
        self.c2 = nn.Conv2d(24, 32, 3, padding=1)
        self.fc = nn.Linear(32, 4)

    def forward(self, x):
        x = F.relu(self.c(x))
        a = torch.cat([torch.mean(x, dim=1, keepdim=True), torch.max(x, dim=1, keepdim=True)[0]], dim=1)
        x = x * torch.sigmoid(self.s(a))
        x = F.relu(self.c2(x))
        return self.fc(x.mean((2, 3)))


class Shuffle(nn.Module):
    """channel shuffle + split"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.b = nn.Sequential(
            nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 16, 1), nn.ReLU()
        )
        self.last = nn.Conv2d(32, 64, 1)
        self.fc = nn.Linear(64, 4)

    def forward(self, x):
        x = self.stem(x)
        a, b = x.chunk(2, dim=1)
        x = torch.cat((a, self.b(b)), 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        return self.fc(F.relu(self.last(x)).mean([2, 3]))


class ConvNeXtBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.dw = nn.Conv2d(d, d, 7, padding=3, groups=d)
        self.norm = nn.LayerNorm(d, eps=1e-6)
        self.p1, self.p2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.gamma = nn.Parameter(1e-1 * torch.ones(d))

    def forward(self, x):
        y = self.dw(x).permute(0, 2, 3, 1)
        y = self.p2(F.gelu(self.p1(self.norm(y))))
        y = (self.gamma * y).permute(0, 3, 1, 2)
        return x + y


class MiniConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, 4)
        self.blocks = nn.Sequential(ConvNeXtBlock(32), ConvNeXtBlock(32))
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean([-2, -1]))


class PatchViT(nn.Module):
    """patches by reshaping"""

    def __init__(self):
        super().__init__()
        self.p = 4
        self.lin = nn.Linear(48, 32)
        self.cls = nn.Parameter(torch.randn(1, 1, 32))
        self.pos = nn.Parameter(torch.randn(1, 17, 32))
        self.blocks = nn.ModuleList([HandBlock(32) for _ in range(2)])
        self.head = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 5))

    def forward(self, x):
        b, c, h, w = x.shape
        p = self.p
        x = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, p * p * c)
        x = self.lin(x)
        x = torch.cat((self.cls.repeat(b, 1, 1), x), dim=1)
        x = x + self.pos[:, : x.shape[1]]
        for blk in self.blocks:
            x = blk(x)
        return self.head(x[:, 0])


class TimeFirst(nn.Module):
    """torch's default order of a recurrent layer's axes"""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 32)
        self.lstm = nn.LSTM(32, 24, num_layers=2)
        self.fc = nn.Linear(48, 3)

    def forward(self, x):
        out, _ = self.gru(x.permute(1, 0, 2))
        out, (h, _) = self.lstm(torch.relu(out))
        return self.fc(torch.cat([out[-1], h[0]], 1))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x, y):
        return self.a(x) + self.b(y)


class PictureAndWords(nn.Module):
    """an image, words and a row of a table"""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.words, self.table = nn.Embedding(50, 8), nn.Linear(5, 16)
        self.head = nn.Linear(40, 3)

    def forward(self, image, words, row):
        return self.head(torch.cat([self.body(image), self.words(words).mean(1), F.relu(self.table(row))], 1))


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.b, self.h1, self.h2 = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x):
        x = F.relu(self.b(x))
        return self.h1(x), self.h2(x)


class Found(NamedTuple):
    kinds: torch.Tensor
    number: torch.Tensor


class NamedOutputs(TwoOutputs):
    def forward(self, x):
        return Found(*super().forward(x))


class OutputsApart(nn.Module):
    """a detector: classes and boxes of every place, and a number, in a dictionary"""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 16, 3, 2, 1)
        self.classes, self.boxes, self.count = nn.Conv2d(16, 5, 1), nn.Conv2d(16, 4, 1), nn.Linear(16, 1)

    def forward(self, x):
        x = F.relu(self.body(x))
        boxes = self.boxes(x).flatten(2).transpose(1, 2)
        return {"classes": self.classes(x), "rest": (boxes, None), "count": self.count(x.mean((2, 3))).squeeze(1)}


class NamedResult(TwoOutputs):
    """one of two heads, under a name, as segmentation networks give it"""

    def forward(self, x):
        return {"out": self.h1(F.relu(self.b(x))), "aux": None}


class DataDependent(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        if x.mean() > 0:
            return self.a(x)
        return self.b(x)


class Cells(nn.Module):
    """LSTMCell loop over time"""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(6, 16)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        h = torch.zeros(x.size(0), 16)
        c = torch.zeros(x.size(0), 16)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return self.fc(h)


class TimeDistributed(nn.Module):
    """CNN on every frame of a clip, then LSTM"""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.rnn = nn.GRU(8, 16, batch_first=True)
        self.fc = nn.Linear(16, 3)

    def forward(self, x):
        b, t, c, h, w = x.shape
        y = self.cnn(x.view(b * t, c, h, w)).view(b, t, -1)
        y, _ = self.rnn(y)
        return self.fc(y[:, -1])


class Spectrogram(nn.Module):
    """keyword spotting: (1, 40, 98) spectrogram, non-square kernels and pools"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, (20, 8), padding=(10, 4))
        self.bn1 = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d((2, 2), stride=(2, 1))
        self.conv2 = nn.Conv2d(32, 32, (3, 9), stride=(1, 2), padding=(1, 4))
        self.fc = nn.Linear(32, 12)

    def forward(self, x):
        if x.dim() == 3:
            x = x.unsqueeze(1)
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = F.hardtanh(self.conv2(x))
        return self.fc(torch.mean(x, dim=(2, 3)))


class PreAct(nn.Module):
    """res blocks with scaling, dropout2d, -x"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.ModuleList()
        for _ in range(3):
            self.blocks.append(nn.ModuleDict({"bn": nn.BatchNorm2d(16), "conv": nn.Conv2d(16, 16, 3, padding=1)}))
        self.alpha = nn.Parameter(torch.tensor(0.5))
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            y = block["conv"](F.relu(block["bn"](x)))
            x = x + self.alpha * y
        x = x - x.mean(dim=(2, 3), keepdim=True)
        return self.fc(F.max_pool2d(x, x.shape[-2:]).flatten(1))


class Residual1d(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(12, 32, 15, padding=7, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(3, 2, 1)
        )
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv1d(32, 32, 7, padding=3),
                    nn.BatchNorm1d(32),
                    nn.ReLU(),
                    nn.Dropout(0.2),
                    nn.Conv1d(32, 32, 7, padding=3),
                    nn.BatchNorm1d(32),
                )
                for _ in range(3)
            ]
        )
        self.fc = nn.Linear(64, 5)

    def forward(self, x):
        x = self.stem(x)
        for b in self.blocks:
            x = F.relu(x + b(x))
        x = torch.cat([F.adaptive_avg_pool1d(x, 1), F.adaptive_max_pool1d(x, 1)], dim=1)
        return self.fc(x.view(x.size(0), -1))


class Selective(nn.Module):
    """two paths weighed channel by channel (Li et al., 2019), on a map that a single step of a GRU gives"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.paths = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=d, dilation=d) for d in (1, 2)])
        self.select = nn.Conv2d(16, 32, 1)
        self.cell = nn.GRUCell(16, 24)
        self.fc = nn.Linear(24, 4)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = torch.stack([path(x) for path in self.paths], dim=1)
        weights = self.select(x.sum(1).mean((2, 3), keepdim=True)).view(-1, 2, 16, 1, 1)
        x = (x * torch.softmax(weights, dim=1)).sum(1)
        return self.fc(self.cell(x.mean((2, 3))))


class Windows(nn.Module):
    """attention within windows of an image, as in Swin: windows become samples, the mask is written in forward"""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)
        self.table = nn.Parameter(torch.randn(9, 2))
        self.register_buffer("index", torch.arange(16 * 16).remainder(9).view(16, 16))
        self.norm = nn.BatchNorm1d(16)
        self.neurons = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        b, c, h, w = x.shape
        x = torch.roll(x.permute(0, 2, 3, 1), (-2, -2), (1, 2))
        mask = x.new_zeros((h, w))
        mask[-2:, :] = 1
        mask = mask.view(2, 4, 2, 4).transpose(1, 2).reshape(4, 16)
        mask = (mask.unsqueeze(1) - mask.unsqueeze(2)).masked_fill(mask.unsqueeze(1) != 0, -100.0)
        x = x.view(b, 2, 4, 2, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(x.size(0), 16, 3, 2, 8).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) + self.table[self.index].permute(2, 0, 1).unsqueeze(0)
        scores = (scores.view(b, 4, 2, 16, 16) + mask.unsqueeze(1).unsqueeze(0)).view(-1, 2, 16, 16)
        x = self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 16, c))
        x = x.view(b, 2, 2, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h * w, c)
        x = self.norm(x.flatten(0, 1)).reshape_as(x)
        x = x + self.neurons(x)
        return self.head(x.mean(1))


READ = {
    "normalised": (Normalised, (3, 32, 32), 2, 0),
    "sensor": (Sensor, (6, 128), 3, 0),
    "conv_lstm": (ConvLSTM, (40, 9), 4, 0),
    "bilstm_state": (BiLSTMState, (12, 8), 1, 0),
    "time_first": (TimeFirst, (12, 8), 3, 0),
    "tcn": (TCN, (4, 50), 4, 2),
    "normed": (Normed, (12,), 1, 0),
    "text_cnn": (TextCnn, (20, 16), 3, 0),
    "hand_transformer": (HandTransformer, (20, 6), 4, 1),
    "attention_pool": (BmmAttentionPool, (12, 8), 1, 0),
    "grouped": (Grouped, (3, 16, 16), 1, 1),
    "spatial": (Spatial, (3, 16, 16), 1, 0),
    "shuffle": (Shuffle, (3, 16, 16), 2, 0),
    "convnext": (MiniConvNeXt, (3, 32, 32), 3, 1),
    "patch_vit": (PatchViT, (3, 16, 16), 3, 1),
    "spectrogram": (Spectrogram, (1, 40, 49), 2, 0),
    "preact": (PreAct, (3, 16, 16), 1, 1),
    "residual1d": (Residual1d, (12, 100), 4, 2),
    "selective": (Selective, (3, 16, 16), 1, 0),
    "time_distributed": (TimeDistributed, (5, 1, 12, 12), 2, 0),
    "cells": (Cells, (7, 6), 0, 0),
    "windows": (Windows, (16, 8, 8), 1, 1),
}
"""The network, the shape of an input, and of its space the groups of channels and the runs of blocks."""
REFUSED = {
    "two_inputs": (
        TwoInputs,
        (8,),
        "its forward also needs 'y'; expected an example of each input, came 1",
    ),
    "data_dependent": (DataDependent, (8,), "decides by the values of tensors; expected steps that are the same"),
}
