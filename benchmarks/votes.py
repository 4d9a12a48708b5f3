"""Votes on simulated galaxies whose true shares are known: what is learned of a tree of three questions, one of which was asked of a third.

    python benchmarks/votes.py            # 2,000 galaxies
    python benchmarks/votes.py --n 400 --quick

The RMSE is that of the shares, the mean over the answers of a question, on galaxies that were held back from training as a test:
against the truth (`truth`), and against the votes (`votes`), where the truth itself is as far off as the votes are noisy (`noise`)."""
import argparse,json,tempfile
from pathlib import Path

import numpy as np, pandas as pd
from scipy.special import expit

tree = dict(kind='counts', column='{question}_{answer}', total='{question}_total', questions=dict(
    shape=dict(answers=['smooth','disk','artifact'], leads=dict(disk='edge')),
    edge=dict(answers=['yes','no'], leads=dict(no='arms')),
    arms=['none','tight','loose']))

def true_shares(df):
    "Question -> the share of each answer (n, answers) that many volunteers would give, from the shape of simulated galaxies"
    smooth,edge = .94*expit(9*(df.bulge_frac-.62)),expit(16*(.34-df.q))
    none,loose = expit(12*(.25-df.arms)),expit((df.pitch.abs()-19)/2.5)
    return dict(shape=np.stack([smooth, .96-smooth, .04+0*smooth], 1), edge=np.stack([edge, 1-edge], 1),
                arms=np.stack([none, (1-none)*(1-loose), (1-none)*loose], 1))

def cast_votes(df, seed=0, asked_arms=1/3, voters=40):
    "Votes of the tree for each galaxy, from its true shares; `arms` is asked of a part of the galaxies"
    rng,shares,res = np.random.default_rng(seed),true_shares(df),dict(objID=df.objID.to_numpy())
    n = rng.poisson(voters, len(df)).clip(5)
    for q,p in shares.items():
        if q=='arms': n = np.where(rng.random(len(df))<asked_arms, n, 0)
        k = rng.multinomial(n, p)
        answers = tree['questions'][q]
        answers = answers['answers'] if isinstance(answers, dict) else answers
        res |= {f'{q}_{a}': k[:,i] for i,a in enumerate(answers)} | {f'{q}_total': k.sum(1)}
        n = k[:,1] # of those who said disk, and of these who said that it is not seen from the edge
    return pd.DataFrame(res)

def rmse(a, b): return float(np.sqrt(((a-b)**2).mean(0)).mean())

def figures(pred, votes, df, guess):
    "A row a question: RMSE against the truth and against the votes, and what their noise alone makes"
    rows = []
    for q,p in true_shares(df).items():
        cols = [c for c in votes if c.startswith(f'{q}_') and not c.endswith('_total')]
        k = votes[cols].to_numpy(float)
        n = k.sum(1)
        has = n>0
        said,f = pred[[f'{c}_pred' for c in cols]].to_numpy(float),k[has]/n[has,None]
        g = np.broadcast_to([guess[c] for c in cols], p.shape)
        rows.append(dict(question=q, asked=int(has.sum()), truth=rmse(said, p), truth_asked=rmse(said[has], p[has]), truth_guess=rmse(g, p),
                         votes=rmse(said[has], f), noise=rmse(p[has], f), votes_guess=rmse(g[has], f)))
    return pd.DataFrame(rows)

def run(n=2000, seed=0, say=print, folder=None, **kwargs):
    "Simulate, train on three quarters, and predict the rest: (figures, `GalaxyRun`)"
    from galfast.results.predict import predict_catalog
    from galfast.sim.galaxies import sim_survey
    from galfast.train import train_galaxies
    with tempfile.TemporaryDirectory() as d:
        d = Path(folder or d)
        df = sim_survey(d, n, seed=seed, size=96)
        votes = cast_votes(df, seed)
        cut = 3*n//4
        res = train_galaxies(votes[:cut], d/'images', None, d/'run', votes=tree, seed=seed, say=say, **kwargs)
        pred = predict_catalog(res, votes[['objID']][cut:], d/'images')
        guess = dict(zip(res.spec.outputs, res.spec.heads[0].guess(votes[:cut])))
        return figures(pred, votes[cut:], df[cut:], guess),res

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=2000)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--quick', action='store_true')
    p.add_argument('--out', help='a .json file of the figures')
    o = p.parse_args()
    table,res = run(o.n, o.seed, quick=o.quick)
    print(table.round(4).to_string(index=False))
    print(f"{res.info['seconds']:.0f} s on {res.info['device']}")
    if o.out: Path(o.out).write_text(json.dumps(dict(n=o.n, seed=o.seed, seconds=res.info['seconds'], rows=table.to_dict('records')), indent=1))
