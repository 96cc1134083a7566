;; Sets nothing: every position channel holds where it is, every velocity and effort keeps its default.
;; The smallest controller there is, and a safe one to deploy first.
(module
  (func (export "process") (param $tick i64)))
