# What the end-to-end tests and the benchmarks share: real servers, raw clients, pipelines of our programs, and oracles.
