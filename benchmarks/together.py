"""Three targets of different kinds learned in one run beside a run of each, from the command line alone.

    python benchmarks/together.py                  # 400 galaxies to learn from, three seeds, the default recipe
    python benchmarks/together.py --quick --n 200 --seeds 1

Metallicity, morphology and redshift of simulated galaxies. A third of each label is missing, each number comes with
its error and is as far off as that says, and two columns are seen beside the image: the r magnitude, and the half of
the sky. Figures are those of `galfast evaluate` on galaxies that no run saw, whose labels are whole and exact."""
import argparse,json,subprocess,sys,tempfile
from pathlib import Path

import numpy as np, pandas as pd

scores = dict(metallicity='rmse', morphology='balanced_accuracy', redshift='rmse')
errs = dict(metallicity=(.02, .15), redshift=(.001, .004)) # Target -> one sigma of its labels, from and to

def with_gaps(df, seed, gone=1/3):
    "Labels as a survey has them: noisy, with errors, and with gaps"
    rng,df = np.random.default_rng(seed),df.copy()
    for t,(lo,hi) in errs.items():
        df[f'{t}_err'] = rng.uniform(lo, hi, len(df)).round(5)
        df[t] += df[f'{t}_err']*rng.standard_normal(len(df))
    for t in scores: df.loc[rng.random(len(df))<gone, t] = None
    return df

def galfast(*words):
    "The command, which has to end well"
    cmd = [str(Path(sys.executable).with_name('galfast')), *map(str, words)]
    done = subprocess.run(cmd, capture_output=True, text=True)
    if done.returncode: sys.exit(f"{' '.join(cmd)}\n{done.stderr}")

def train(d, name, targets, seed, quick):
    "Train on `targets`, predict the test, evaluate it: metric -> value and err of each target, and seconds"
    err = [f'{t}={t}_err' for t in targets if t in errs]
    asked = ['--table', 'r_mag,half', '--seed', seed, *(['--partial'] if len(targets)>1 else [])]
    if err: asked += ['--err', ','.join(err)]
    if quick: asked += ['--members', 2, '--epochs', 8]
    galfast('train', d/'known.csv', '--images', d/'images', '--target', ','.join(targets), '--out', d/name, *asked)
    galfast('predict', d/name, d/'new.csv', '--images', d/'images', '--out', d/f'{name}.csv')
    galfast('evaluate', d/f'{name}.csv', d/'truth_of_new.csv', '--target', ','.join(targets), '--out', d/f'{name}_scores.csv')
    rows = pd.read_csv(d/f'{name}_scores.csv')
    seconds = json.loads((d/name/'config.json').read_text())['info']['seconds']
    return {r.target: (r.value, r.err) for r in rows.itertuples() if r.metric==scores[r.target]},seconds

def run(n, new, seed, quick, folder):
    "A row a target: learned together and alone"
    from galfast.sim.galaxies import irreducible_rmse,sim_survey
    d = Path(folder)
    df = sim_survey(d, n+new, seed=seed).assign(half=lambda o: np.where(o.dec>25, 'north', 'south'))
    seen = ['objID', 'r_mag', 'half']
    known = with_gaps(df[:n], seed)
    known[[*seen, *scores, *(f'{t}_err' for t in errs)]].to_csv(d/'known.csv', index=False)
    df[n:][seen].to_csv(d/'new.csv', index=False)
    df[n:][['objID', *scores]].to_csv(d/'truth_of_new.csv', index=False)
    both,seconds = train(d, 'together', list(scores), seed, quick)
    rows = []
    for t in scores:
        alone,s = train(d, t, [t], seed, quick)
        best = irreducible_rmse(df[n:], t) if t in errs else np.nan
        rows.append(dict(seed=seed, target=t, labels=int(known[t].notna().sum()), metric=scores[t], together=both[t][0], alone=alone[t][0],
                         err=alone[t][1], irreducible=best, seconds_together=seconds, seconds_alone=s))
    return rows

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=400, help='galaxies to learn from')
    p.add_argument('--new', type=int, default=400, help='galaxies to be judged on')
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--quick', action='store_true', help='two networks of 8 epochs')
    p.add_argument('--out', type=Path, help='a .json file of the figures')
    o = p.parse_args()
    rows = []
    for seed in range(o.seeds):
        with tempfile.TemporaryDirectory() as d: rows += run(o.n, o.new, seed, o.quick, d)
        print(pd.DataFrame(rows[-3:]).round(4).to_string(index=False, header=seed==0), flush=True)
    mean = pd.DataFrame(rows).groupby('target')[['together','alone','irreducible']].mean()
    print('\nmean over seeds\n'+mean.round(4).to_string())
    if o.out: o.out.write_text(json.dumps(dict(n=o.n, new=o.new, rows=rows), indent=1)+'\n')
