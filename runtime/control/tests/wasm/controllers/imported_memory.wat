;; A controller brings its own memory.
(module
  (import "env" "memory" (memory 1))
  (func (export "process") (param $tick i64)))
