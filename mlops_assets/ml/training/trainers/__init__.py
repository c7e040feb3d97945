"""One file a kind of trainer, each a module that has what `base.TrainerModule` asks for."""
