;; Calls a function that the module does not have.
(module
  (func (export "process") (param $tick i64)
    (call $swing)))
