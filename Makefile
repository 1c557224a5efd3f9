.PHONY: all
all:
	cargo build
