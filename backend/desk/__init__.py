"""The pages of the license desk: they read what the engine has written, and never compute a balance themselves."""
