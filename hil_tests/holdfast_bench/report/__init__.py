"""The report of the bench: what its runs left, judged by one table of limits, compared, and shown on one page.

`runs` reads result files, `limits` judges them, `compare` sets two side by side, `junit` reads the suite's outcome,
`charts` draws, `page` writes the HTML, `cli` offers it as `holdfast bench report` and `holdfast bench compare`.
"""
