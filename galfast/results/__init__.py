"From a run to a catalogue of predictions, and to figures"
