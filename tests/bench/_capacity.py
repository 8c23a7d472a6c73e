from tests.bench.rows import Row
def rows() -> list[Row]:
    return []
