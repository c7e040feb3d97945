"""The Open Inference Protocol, version 2: models asked by tensors, so that clients written for it need none of ours."""
