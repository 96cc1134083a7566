;; Has a function, under another name.
(module
  (func (export "update") (param $tick i64)))
