"""One pass over the draws, anywhere: on threads here, on a GPU, on other processes and machines."""
