"Fail if the modules are not what the notebooks export, or the notebooks are not clean: compares before and after, so it works without git"
import hashlib,subprocess,sys
from pathlib import Path

root = Path(__file__).parent.parent

def state():
    files = [*root.glob('galfast/**/*.py'), *root.glob('nbs/**/*.ipynb')]
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if '.ipynb_checkpoints' not in p.parts}

before = state()
for cmd in ('nbdev-export', 'nbdev-clean'): subprocess.run([Path(sys.executable).parent/cmd], check=True, cwd=root)
after = state()
drift = sorted(k for k in before|after if before.get(k)!=after.get(k))
if drift: sys.exit(f"not in step: {', '.join(drift)}. Edit the notebook, run `make export`, commit both.")
print(f'{len(after)} notebooks and modules are in step')
