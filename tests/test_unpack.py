"Tables that are packed: as much as they say, within reason"
import gzip,zipfile

import pytest

import galfast.base.unpack as unpack
from galfast.base.core import CatalogError
from galfast.base.files import Budget
from galfast.base.unpack import check_xlsx,table_bytes

def test_packed_and_plain(tmp_path):
    b = b'objID,z\n1,.2\n'
    for name,o in (('a.csv', b), ('a.csv.gz', gzip.compress(b))):
        (tmp_path/name).write_bytes(o)
        assert table_bytes(tmp_path/name)==b

def test_more_than_a_table_is_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, 'most_loose', 100_000)
    (tmp_path/'a.csv.gz').write_bytes(gzip.compress(b'0,'*500_000))
    with pytest.raises(CatalogError, match='no table is packed like that'): table_bytes(tmp_path/'a.csv.gz')
    (tmp_path/'b.csv.gz').write_bytes(gzip.compress(b'0,'*40_000))
    assert len(table_bytes(tmp_path/'b.csv.gz'))==80_000

def test_damaged_and_too_large(tmp_path, monkeypatch):
    (tmp_path/'a.csv.gz').write_bytes(gzip.compress(b'objID,z\n'*1000)[:-8])
    with pytest.raises(CatalogError, match='cut short or damaged'): table_bytes(tmp_path/'a.csv.gz')
    (tmp_path/'a.csv').write_bytes(b'1'*9000)
    monkeypatch.setattr(unpack, 'file_budget', lambda: Budget(most_mb=.001))
    with pytest.raises(CatalogError, match='a table of 9 kB, where at most 8 kB are read'): table_bytes(tmp_path/'a.csv')

def xlsx(path, **parts):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        for k,v in parts.items(): z.writestr(f'xl/{k}.xml', v)
    return path

def test_excel_of_plain_xml(tmp_path, monkeypatch):
    import pandas as pd
    pd.DataFrame(dict(a=[1])).to_excel(tmp_path/'a.xlsx')
    check_xlsx(tmp_path/'a.xlsx')
    bad = xlsx(tmp_path/'b.xlsx', book='<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(CatalogError, match='words of its own'): check_xlsx(bad)
    monkeypatch.setattr(unpack, 'most_loose', 10_000)
    with pytest.raises(CatalogError, match='of Excel unpack to 1.0 MB'): check_xlsx(xlsx(tmp_path/'c.xlsx', a='<a>'+'0'*1_000_000+'</a>'))
