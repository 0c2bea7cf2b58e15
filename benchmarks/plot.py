"""placeholder."""


def draw(results, measures):
    return ""
