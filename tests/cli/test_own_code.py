"""A mistake in a user's own plugin is told as theirs, with its line."""

from __future__ import annotations

from pathlib import Path

from netwright.cli.main import run

SPACE = '''
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.space import SearchSpace


class Mine(SearchSpace):
    """A space with a mistake in it."""

    def decide(self, choose):
        return choose.subset("branches", ("a", "b"), at_least=1)

    def lower(self, plan, net, shapes):
        return net.add(Flatten(), net.input)
'''


def test_a_mistake_in_an_own_space_is_told_with_its_line(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "mistaken_space.py").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert run(["space", "size", "mistaken_space:Mine"]) == 2
    said = capsys.readouterr().err
    assert "your own code stopped at mistaken_space.py, line 10, in decide: TypeError" in said
    assert "internal fault" not in said
