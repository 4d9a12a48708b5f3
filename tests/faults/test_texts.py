"Names of others are text: nothing in them is markup, drives a terminal, or ends in a traceback"
import ast
from pathlib import Path

import pytest

from galfast import cli
from galfast.base import core
from galfast.base.core import CatalogError,GalfastError,option,printable

root = Path(__file__).parents[2]
modules = [p for p in sorted((root/'galfast').rglob('*.py')) if p.stem[0]!='_']
prints = {'core.py': {'tell', '_bar'}, 'cli.py': {'_print', '_say', '_table', '_version'}} # what may print, and takes text as it is

def found(tree):
    "(line, function around it) of each name that prints: print, rich, echo, and writes to standard output"
    def _walk(o, where):
        here = o.name if isinstance(o, ast.FunctionDef) else where
        if isinstance(o, ast.Name) and o.id=='print' or isinstance(o, ast.Attribute) and o.attr in ('echo','secho','print'): yield o.lineno,here
        if isinstance(o, ast.ImportFrom) and (o.module or '').split('.')[0]=='rich' or isinstance(o, ast.Import) and any(a.name.split('.')[0]=='rich' for a in o.names): yield o.lineno,here
        if isinstance(o, ast.Attribute) and o.attr=='write' and getattr(o.value, 'attr', '') in ('stdout','stderr'): yield o.lineno,here
        for c in ast.iter_child_nodes(o): yield from _walk(c, here)
    return list(_walk(tree, ''))

@pytest.mark.parametrize('p', modules, ids=lambda p: p.stem)
def test_all_that_is_printed_goes_through_few_functions(p):
    odd = [o for o in found(ast.parse(p.read_text())) if o[1] not in prints.get(p.name, ())]
    assert not odd, f"{p.name}: text of users goes to `tell`: {odd}"

def test_the_search_finds(): assert [w for _,w in found(ast.parse("import sys\nfrom rich import print\ndef f(x):\n  print(x); sys.stdout.write(x); c.print(x)"))]==['', 'f', 'f', 'f']

odd = ['p[red].csv', 'a[/b]', ':smile:', '[link=http://x]y[/link]', '\x1b[2Jgone', '\x1b]0;title\x07', 'a\rb', '\x9b31m', 'gpj.\u202eexe', '\ud800', '$\\frac$', '%s {0} {x}', '\x1fbands=open("x")(\x1f', "\x1fnative='any'\x1f", '\0', 'αβγ ±']

@pytest.mark.parametrize('o', odd, ids=ascii)
def test_odd_names_are_told(o, capsys):
    cli._print(f'it is {o}'); cli._table(o, [(o, o)], o, o); cli._say(o); core.tell(o)
    out = ''.join(capsys.readouterr())
    assert not any(c in out for c in '\x1b\x07\r\x9b\u202e\ud800\0') and printable(o) in out.replace('\n', '')
    out.encode()
    for e in (GalfastError(o), CatalogError(f"no column {o!r}, {o}: give {option('bands', [o])}")):
        for text in (str(e), e.typed, *cli._told(e)[:1]): assert printable(text)==text

def test_progress_of_odd_names(tmp_path):
    "A terminal, as far as rich knows"
    import io
    f = io.StringIO()
    g = core._bar('reading \x1b]0;x\x07 [/red]', 3, f, first=-1); next(g); g.send(1); g.close()
    h = core._lines('reading \x1b[2J', 3, f, first=-1); next(h); h.send(1)
    assert '\x1b]0' not in f.getvalue() and '\x1b[2J' not in f.getvalue() and '\\x1b[2J' in f.getvalue()

def test_a_command_with_odd_paths_ends_in_a_sentence(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(cli.signal, 'signal', lambda *a: None)
    for o in ('no\x1b[31m.csv', 'a[/b]/c.csv', 'x\udcff.csv'):
        monkeypatch.setattr('sys.argv', ['galfast', 'evaluate', str(tmp_path/o), str(tmp_path/o), '--target', o])
        with pytest.raises(SystemExit) as e: cli.main()
        out = ''.join(capfd.readouterr())
        assert e.value.code==2 and 'no such file' in out and '\x1b' not in out and 'Traceback' not in out
