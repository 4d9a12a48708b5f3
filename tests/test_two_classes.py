"Few positives among many: what `galfast train` and `galfast evaluate` say of them"
import json

import numpy as np, pandas as pd, pytest
from sklearn.metrics import average_precision_score,precision_recall_curve,roc_auc_score
from typer.testing import CliRunner

from galfast.cli import app
from galfast.data.heads import ClassHead
from galfast.results.predict import evaluate_predictions
from galfast.sim.galaxies import sim_survey

def galfast(*args):
    r = CliRunner().invoke(app, [str(o) for o in args])
    assert r.exit_code==0, r.output
    return r.output

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    d = tmp_path_factory.mktemp('rare')
    df = sim_survey(d, 100, size=24, seed=2)
    df['kind'] = np.where(df.redshift.rank()>92, 'lens', 'none') # 8 of 100
    df.to_csv(d/'cat.csv', index=False)
    said = galfast('train', d/'cat.csv', '--images', d/'images', '--target', 'kind', '--out', d/'run', '--members', 2, '--epochs', 1)
    return d,said

def test_the_summary_is_never_accuracy_alone(trained):
    d,said = trained
    told = json.loads((d/'run/metrics.json').read_text())['metrics']
    p = pd.read_csv(d/'run/predictions.csv')
    y,q = (p.kind=='lens').astype(int),p.kind_prob_lens
    m = told['kind=lens']
    assert np.isclose(m['average_precision']['value'], average_precision_score(y, q)) and np.isclose(m['roc_auc']['value'], roc_auc_score(y, q))
    assert np.isclose(m['average_precision']['baseline'], y.mean()) and m['roc_auc']['baseline']==.5
    pure,full,at = precision_recall_curve(y, q)
    f1 = 2*pure*full/np.maximum(pure+full, 1e-9)
    assert np.isclose(m['best_f1']['value'], f1.max())
    best = q>=m['best_threshold']['value']
    assert np.isclose(m['best_purity']['value'], y[best].mean()) and np.isclose(m['best_completeness']['value'], best[y==1].mean())
    for o in ('average_precision','roc_auc','best_purity','best_completeness','at random','kind=lens: 100 galaxies'): assert o in said
    assert ('no galaxy of 100 was called kind=lens' in said)==(m['purity']['value'] is None)==(not (p.kind_pred=='lens').any())

def test_a_ranked_table_and_a_figure(trained):
    d,said = trained
    p = pd.read_csv(d/'run/ranked.csv')
    assert p.kind_prob_lens.is_monotonic_decreasing and len(p)==100 and list(p)==list(pd.read_csv(d/'run/predictions.csv'))
    assert (d/'run/ranking.png').exists() and 'ranking.png' in said and 'ranked.csv' in said

def test_evaluate_says_the_same(trained):
    d,_ = trained
    a = evaluate_predictions(d/'run/predictions.csv', d/'cat.csv', 'kind').set_index(['target','metric']).value
    m = json.loads((d/'run/metrics.json').read_text())['metrics']['kind=lens']
    assert all(np.isclose(a['kind=lens', k], m[k]['value'], equal_nan=True) for k in ('average_precision','roc_auc','best_f1','best_threshold'))
    assert 'average_precision' in galfast('evaluate', d/'run/predictions.csv', d/'cat.csv', '--target', 'kind')

def test_of_more_classes_none_is_looked_for():
    head = ClassHead(['k'], classes=['a','b','c'])
    t = pd.DataFrame(dict(k=['a','b','c'], k_prob_a=.3, k_prob_b=.3, k_prob_c=.4))
    assert head.ranking(t, np.full((3,3), 1/3)) is None
    two = ClassHead(['k'], classes=['a','b'])
    assert two.ranking(t.assign(k=['a','b','b']), np.full((3,2), .5))[0]=='k=a' # the rarer one
    assert two.ranking(t.assign(k='a'), np.full((3,2), .5)) is None # one class only
    assert two.ranking(t[['k']].assign(k=['a','b','b']), np.full((3,2), .5)) is None # no probabilities

def test_oversample(trained, tmp_path):
    "Every class as often: the network calls far more galaxies lenses than without"
    d,_ = trained
    short = ('--members', 2, '--epochs', 4, '--seed', 1, '--no-fast')
    share = {}
    for how in ((), ('--oversample', 'balanced')):
        out = tmp_path/('b' if how else 'a')
        galfast('train', d/'cat.csv', '--images', d/'images', '--target', 'kind', '--out', out, *short, *how)
        p = pd.read_csv(out/'predictions.csv')
        share[bool(how)] = p.kind_prob_lens.mean()
        assert json.loads((out/'config.json').read_text())['info']['asked']['oversample']==('balanced' if how else None)
    assert share[True]>1.2*share[False]

def test_pretrained(trained, tmp_path):
    "A network that begins with the weights of a run, and is trained at a rate of nearly nothing, answers as that run"
    import torch

    from galfast.training.run import load_run
    d,_ = trained
    galfast('train', d/'cat.csv', '--images', d/'images', '--target', 'kind', '--out', tmp_path/'run', '--members', 1, '--epochs', 1, '--lr', 1e-12, '--pretrained', d/'run')
    old,new = (load_run(o, 'cpu').model.members[0].body for o in (d/'run', tmp_path/'run'))
    convs = [[m.weight for m in o.modules() if isinstance(m, torch.nn.Conv2d)] for o in (old, new)]
    assert len(convs[0])>5 and all(torch.allclose(a, b, atol=1e-6) for a,b in zip(*convs))

mistakes = [(('--oversample', 'much'), '--oversample is balanced, or a share'), (('--oversample', '1.5'), 'between 0 and 1'), (('--pretrained', 'nowhere.safetensors'), 'nowhere.safetensors'),
            (('--oversample', 'balanced', '--target', 'redshift'), 'draws from classes')]

@pytest.mark.parametrize('args,words', mistakes)
def test_mistakes(args, words, trained, tmp_path):
    d,_ = trained
    target = () if '--target' in args else ('--target', 'kind')
    r = CliRunner().invoke(app, [str(o) for o in ('train', d/'cat.csv', '--images', d/'images', *target, '--out', tmp_path/'run', *args)])
    assert r.exit_code==2 and words in r.output, r.output

def test_twenty_positives_in_five_hundred(tmp_path):
    "In the summary of the command, of what was held back and of the test set: never accuracy alone"
    df = sim_survey(tmp_path, 500, size=24, seed=4)
    df['lens'] = np.where(df.redshift.rank()>480, 'yes', 'no')
    df['split'] = np.where(np.arange(500)%5==0, 'test', 'train')
    df.to_csv(tmp_path/'cat.csv', index=False)
    n = {k: int(((df.lens=='yes')&(df.split==k)).sum()) for k in ('train','test')}
    assert sum(n.values())==20 and min(n.values())>0
    said = galfast('train', tmp_path/'cat.csv', '--images', tmp_path/'images', '--target', 'lens', '--out', tmp_path/'run', '--quick', '--test-col', 'split')
    told = json.loads((tmp_path/'run/metrics.json').read_text())
    for key,most in (('metrics', 400), ('test', 100)):
        m = told[key]['lens=yes']
        assert {'average_precision','purity','completeness','best_purity','best_completeness'}<=set(m) and m['average_precision']['n']<=most
    for part in said.split('lens=yes: ')[1:]: assert all(o in part for o in ('average_precision','purity','completeness','best_f1'))
    assert said.count('lens=yes: ')==2 and said.count('\nlens: ')==2 # each accuracy has the table of the rarer class beside it
    t = pd.read_csv(tmp_path/'run/test_predictions.csv')
    assert np.isclose(told['test']['lens=yes']['average_precision']['value'], average_precision_score(t.lens=='yes', t.lens_prob_yes))
