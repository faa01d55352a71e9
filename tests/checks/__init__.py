"""`divan-obs check`: a deployment that has a fault, and one that has not."""
