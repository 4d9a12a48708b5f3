"From batches to a run that is saved"
