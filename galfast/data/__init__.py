"What is predicted, columns beside the image, and batches of both"
