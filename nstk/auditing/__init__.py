"""What is wrong with labeled data: files, copies, labels, and images that stand out."""
