"""A number with its error: ELBO, gradient, KL; what is asked, how it is planned, and how it is read off a sweep."""
