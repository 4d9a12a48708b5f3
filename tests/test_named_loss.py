"Losses of a recipe by their name"
import numpy as np, pandas as pd, pytest, torch
from typer.testing import CliRunner

from galfast.base.core import GalfastError
from galfast.cli import app
from galfast.data.losses import BinaryLoss,OneVsRest,ScaledMSE,ScaledRMSE
from galfast.data.targets import fit_spec,target_spec
from galfast.sim.galaxies import sim_survey
from galfast.train import Recipe,choose_recipe,recipe_loss,train_galaxies
from galfast.training.run import load_run

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('loss')
    df = sim_survey(d, 24, size=32, seed=3)
    df = df.assign(two=np.where(df.redshift>df.redshift.median(), 'far', 'near'), three=['a','b','c']*8)
    df.to_csv(d/'cat.csv', index=False)
    return d,df

kinds = [('metallicity', 'mse', ScaledMSE), ('metallicity', 'rmse', ScaledRMSE), ('two', 'focal', BinaryLoss), ('two', 'binary', BinaryLoss), ('three', 'one_vs_rest', OneVsRest)]

@pytest.mark.parametrize('target,name,kind', kinds)
def test_each_is_the_loss_of_its_name(survey, target, name, kind):
    df = survey[1]
    loss = recipe_loss(fit_spec(target_spec(df, target), df), choose_recipe(24, target_spec(df, target).task, loss=name))
    assert type(loss) is kind and getattr(loss, 'gamma', 0)==(2 if name=='focal' else 0)
    if target=='metallicity': assert loss.scale.item()==pytest.approx(df.metallicity.std(ddof=0))

def test_label_smoothing_is_that_of_cross_entropy(survey):
    df = survey[1]
    spec = fit_spec(target_spec(df, 'two'), df)
    assert recipe_loss(spec, choose_recipe(24, 'classification', loss='cross_entropy')).eps==choose_recipe(24, 'classification').smooth>0
    assert choose_recipe(24, 'classification', loss='focal').smooth==0
    with pytest.raises(GalfastError, match='label smoothing is for'): choose_recipe(24, 'classification', loss='focal', smooth=.1)
    assert Recipe().loss is None

def test_probabilities_are_those_that_the_loss_teaches(survey, tmp_path):
    "One against all others: three yes-or-no answers, which need not add up to one"
    d,df = survey
    kw = dict(members=1, epochs=1, size=24, gp_weight=0., device='cpu')
    runs = {o: train_galaxies(df, d/'images', 'three', tmp_path/o, loss=o, **kw) for o in ('one_vs_rest','cross_entropy')}
    sums = {k: pd.read_csv(o.path/'predictions.csv').filter(like='_prob_').sum(axis=1) for k,o in runs.items()}
    assert np.allclose(sums['cross_entropy'], 1, atol=1e-5) and not np.allclose(sums['one_vs_rest'], 1, atol=1e-2)
    old = load_run(tmp_path/'one_vs_rest', 'cpu')
    assert not old.spec.heads[0].exclusive and old.info['recipe']['loss']=='one_vs_rest'
    w = [torch.cat([p.flatten() for p in o.model.parameters()]) for o in runs.values()]
    assert not torch.allclose(*w)

wrong = [('metallicity', 'focal', 'mse, rmse'), ('three', 'binary', 'cross_entropy, one_vs_rest'), ('two', 'mse', 'cross_entropy, one_vs_rest, binary, focal'), ('two,metallicity', 'mse', 'leave it out')]

@pytest.mark.parametrize('target,name,says', wrong)
def test_an_error_names_those_that_fit(survey, tmp_path, target, name, says):
    d,_ = survey
    args = ('train', d/'cat.csv', '--images', d/'images', '--target', target, '--out', tmp_path/'r', '--loss', name)
    r = CliRunner().invoke(app, [str(o) for o in args])
    assert r.exit_code==2 and '--loss' in r.output and says in r.output, r.output
