"""The folders that the stages hand over: data, trained runs, submissions."""
