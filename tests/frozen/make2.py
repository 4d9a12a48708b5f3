"""Runs of format 2: some of those of format 1, loaded and saved again by galfast 0.3.0, whose runs have the format 2.

Made once: a later galfast reads them, and what they say is what those of format 1 say."""
from answer import format_2,frozen

from galfast import load_run,save_run

for name in format_2:
    run = load_run(frozen/'runs'/name, 'cpu')
    save_run(run, frozen/'format2'/name)
