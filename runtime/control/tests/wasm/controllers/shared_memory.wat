;; Threads are not among a controller's features: a wait on shared memory could block the loop.
(module
  (memory 1 1 shared)
  (func (export "process") (param $tick i64)))
