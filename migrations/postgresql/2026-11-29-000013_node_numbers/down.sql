DROP TABLE node_numbers;
