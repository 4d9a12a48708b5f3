"What JSON of others may hold: each value has a rule, and what breaks it is named with its place"
import json,math

import pytest

from galfast.base.core import CatalogError,RunError
from galfast.base.schema import Anything,Misfit,Record,either,dict_of,list_of,maybe,number,one_of,text,truth,whole
from galfast.base.schema import parse_json,read_json,shown

@pytest.mark.parametrize('rule,good,bad', [
    (number(), [0, -1.5, 1e300], [math.inf, math.nan, True, '1', None]), (number(0, 1), [0, 1], [-1e-9, 1.1]),
    (number(above=0), [1e-300], [0]), (whole(1, 3), [1, 3], [0, 4, 1., True]),
    (text(3, 1), ['abc', '±'], ['', 'abcd', '\x1b', '\u202e', 1]), (one_of('a', None), ['a', None], ['b', 0]),
    (truth(), [True, False], [0, 'true']), (maybe(truth()), [None, True], [0]), (either(whole(0, 9), one_of('all')), [3, 'all'], [10, 'none']),
    (list_of(whole(0, 9), 1, 2), [[1], [1,2]], [[], [1,2,3], [10], (1,)]), (dict_of(truth(), 1), [{}, {'a': True}], [{'a': 1}, {'a': True, 'b': True}]),
    (Record(dict(a=truth()), dict(b=truth())), [{'a': True}, {'a': True, 'b': False}], [{}, {'b': True}, {'a': True, 'c': 1}, []]),
    (Anything(1, 3), ['abc', [1,2], {'a': None}], ['abcd', [[[1]]], [1,2,3,4]])], ids=lambda o: getattr(o, 'words', '')[:30])
def test_rules(rule, good, bad):
    assert [rule.fits(o) for o in good+bad]==[True]*len(good)+[False]*len(bad)

def test_the_place_is_named():
    rule = Record(dict(nets=list_of(Record(dict(width=whole(1, 64))))))
    for v,said in ((dict(nets=[dict(width=3), dict(width=99)]), 'nets[1].width is 99, where a whole number from 1 to 64 is expected'),
                   (dict(nets=[dict(depth=3)]), 'nets[0] has unknown keys: depth and lacks width'), (dict(), 'lacks nets')):
        with pytest.raises(Misfit) as e: rule.check(v)
        assert str(e.value)==said

@pytest.mark.parametrize('v,said', [(None, 'null'), (True, 'true'), ([1,2], 'a list of 2'), ({}, 'an object of 0'), ('a\x1b', r"'a\x1b'"),
                                    ('a'*70, repr('a'*60)+'... (70 characters)'), (10**61, 'a number of more than 60 digits'), (.5, '0.5')])
def test_what_is_shown(v, said): assert shown(v)==said

@pytest.mark.parametrize('data,why', [(b'{"a": 1, "a": 2}', "the name 'a' is there twice"), (b'[NaN]', 'NaN'), (b'[1e999]', 'is inf'), (b'\xff', 'UTF-8'),
                                      (b'['*100_000+b']'*100_000, 'too deep'), (b'[1,2,3]', 'holds 3 values'), (b'{"a":', 'Expecting value')])
def test_text_that_is_no_json_to_be_used(data, why):
    with pytest.raises(ValueError, match=why): parse_json(data, Anything(), most=2 if data==b'[1,2,3]' else 1_000_000)

def test_files(tmp_path):
    (tmp_path/'a.json').write_text(json.dumps(dict(a=[1, None, 'ü'])))
    assert read_json(tmp_path/'a.json')==dict(a=[1, None, 'ü'])
    with pytest.raises(RunError, match='a.json: a is a list of 3, where'): read_json(tmp_path/'a.json', Record(dict(a=truth())))
    with pytest.raises(CatalogError, match='more than 1e-06 MB'): read_json(tmp_path/'a.json', error=CatalogError, most_mb=1e-6)
    for name in ('none.json', ''):
        with pytest.raises(RunError, match='no such file'): read_json(tmp_path/name)
