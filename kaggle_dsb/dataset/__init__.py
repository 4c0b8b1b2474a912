"""Data sets: from the competition's zips, or other files, to samples and folds."""

TRAIN_SET = "stage1_train"
TEST_SETS = ("stage1_test", "stage2_test_final")
