"""The package's exceptions: every user's mistake ends in one of these, with one clear sentence."""


class NDDOMLError(Exception):
    """Base class of all errors that the package raises on purpose."""


class InputError(NDDOMLError, ValueError):
    """The input is wrong: the message says what was expected, what came, and in which system and atom."""


class SCFConvergenceError(NDDOMLError, RuntimeError):
    """The self-consistent field did not converge; ``systems`` holds the indices of the systems concerned."""

    def __init__(self, message: str, systems: list[int]) -> None:
        super().__init__(message)
        self.systems = systems


class ResponseError(NDDOMLError, RuntimeError):
    """The response of the density was not solved; ``systems`` holds the indices of the systems concerned."""

    def __init__(self, message: str, systems: list[int]) -> None:
        super().__init__(message)
        self.systems = systems
