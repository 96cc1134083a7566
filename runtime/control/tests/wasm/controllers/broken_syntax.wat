;; The last parenthesis is missing.
(module
  (func (export "process") (param $tick i64)
    (drop (i32.const 1)
  ))
