"A training that is killed, at any moment, once or twice in a row, goes on and ends as one that was not: the same weights and predictions to the bit"
import json,os,subprocess,sys
from pathlib import Path

import pytest

n = 40 if int(os.environ.get('GALFAST_SOAK', 0)) else 3

@pytest.mark.skipif(os.name!='posix', reason='kills children that were forked')
def test_killed_trainings_end_as_the_others(tmp_path):
    r = subprocess.run([sys.executable, '-W', 'ignore', Path(__file__).with_name('kills.py'), tmp_path, str(n)], capture_output=True, text=True, env={**os.environ, 'MPLBACKEND': 'agg'})
    assert r.returncode==0, r.stderr
    res = json.loads(r.stdout.splitlines()[-1])
    print(res['where'])
    assert not res['wrong'], (res, r.stderr[-2000:])
    assert sum(v for k,v in res['where'].items() if k!='not killed')>=n//2
