# [setup]
git clone https://github.com/lfsproxy/lfsproxy
mkdir demo && cd demo
python3 -m venv .venv
. .venv/bin/activate
pip install ../lfsproxy
# [/setup]

# [clients]
pip install confluent-kafka aiokafka
# [/clients]
