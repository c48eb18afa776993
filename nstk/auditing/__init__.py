"""What is wrong with labelled data: files, copies, labels, and pictures that stand out."""
